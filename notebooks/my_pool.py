"""Your thread pool, to be written in three parts. Save, and check it in notebook 3.

A check reads this file afresh. Whatever you add (attributes, methods, imports) is yours to choose;
the names and arguments that are here stay.
"""

import threading
from collections import deque

from harness.course.pool_adapter import LearnersPool


class BoundedQueue:
    """At most `size` items wait here. Any thread may call any method at any time."""

    def __init__(self, size):
        self.size = size
        self.items = deque()
        self.changed = threading.Condition()  # a lock, and a place to sleep until told to wake
        self.closed = False

    def put(self, item):
        """Part 1. Add an item and return True; where `size` items wait, return False at once."""
        ...

    def get(self):
        """Part 1. Take the oldest item and return it; while there is none, sleep.

        Part 3. When the queue is closed and nothing waits any more: return None.
        """
        ...

    def close(self):
        """Part 3. No more items will come: all who sleep in `get` must come to know of it."""
        ...

    def __len__(self):
        return len(self.items)


class Pool:
    """`workers` threads take items from a queue and call `handle` with each."""

    def __init__(self, workers, size, handle):
        self.queue = BoundedQueue(size)
        self.handle = handle
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def submit(self, item):
        """Whether there was room for it."""
        return self.queue.put(item)

    def work(self):
        """Part 2. Each worker runs this: take an item, call `handle` with it, and so on.

        A handler may raise. That is the bad luck of one item and must not end the worker.
        Part 3. Come back when there will be no more items.
        """
        ...

    def close(self, timeout):
        """Part 3. Let the workers finish what waits, and wait until they have ended.

        `timeout` is in seconds, and for all of them together. Return True if all have ended, and
        False if the time was over before.
        """
        ...

    def __len__(self):
        """How many wait."""
        return len(self.queue)


class Backend(LearnersPool):
    """Makes a server of the lab of it."""

    name, pool_class = "my-pool", Pool
