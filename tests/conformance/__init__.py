"""The contracts of the ports, proved on every source and every writer."""
