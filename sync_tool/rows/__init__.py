"""Rows: their model, columns, order, selection and digests."""
