"""Observation: what the server, the kernel and the machine say during a trial."""
