"""The closed loop: the same engine, one request in flight a client."""
