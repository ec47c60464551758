"""MetricStream, the system under test: one request path behind interchangeable backends.

Start reading at `thread_per_request.py` and `thread_pool.py`: diffing the two shows the idea.
Nothing in this package imports `harness`; the lab speaks to a server by socket only.
"""
