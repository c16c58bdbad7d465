"""Convex's sync protocol: live queries, mutations and actions over a WebSocket."""
