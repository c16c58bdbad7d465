"""The folder that `sync` keeps: layout, runs, parts, and their rows as a source of messages (docs/archive.md)."""
