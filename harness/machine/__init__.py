"""This machine: CPUs, environment, kernel counters, child processes, what a thread costs."""
