"""Snapshot imports: uploads, the states they go through, and the swap of whole tables.

Source: get-convex/convex-backend, ``crates/application/src/snapshot_import`` and
``crates/model/src/snapshot_imports``. Of its modes and formats the sandbox has those that keep a table whole:
``requireEmpty`` and ``replace``, ``jsonLines`` and ``zip``.
"""
