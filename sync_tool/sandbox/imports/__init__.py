"""Snapshot imports: uploads, states, and the swap of whole tables.

Source: get-convex/convex-backend, ``crates/application/src/snapshot_import``, ``crates/model/src/snapshot_imports``.
Of the modes there are ``requireEmpty`` and ``replace``, of the formats ``jsonLines`` and ``zip``.
"""
