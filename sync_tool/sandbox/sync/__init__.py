"""Sync protocol of Convex: live queries, mutations and actions over a WebSocket."""
