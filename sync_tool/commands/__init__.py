"""The commands as functions that take keywords, return a report, and never print, ask or exit."""
