"""A Convex deployment as a place that messages are read from and written to."""
