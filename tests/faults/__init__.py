"""Faults on purpose: a proxy that breaks the network, a harness that kills, and counts of both."""
