"""What sends load: schedule, request log, the open-loop engine, Locust."""
