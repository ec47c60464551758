"""Load: the schedule, the engine that keeps to it, and the process that it runs in."""
