"""Convex values as Python values, their JSON spellings, sizes, order and ids."""
