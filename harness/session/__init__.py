"""From options to settings, from a planner to a recorded run."""
