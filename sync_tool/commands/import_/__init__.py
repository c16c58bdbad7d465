"""The parts of an import: records staged in session order, compared with the target, sent, and what was quarantined."""
