"""Load generation: schedule, request log, the open-loop engine, Locust."""
