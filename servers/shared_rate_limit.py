"""The token buckets of clients, shared by processes that serve one port.

A client is let through as often as its rate says, whichever process its connections come to, so
there is one table in memory that all of them map. It is made before they are forked.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable

from servers.rate_limit import MAX_CLIENTS, TokenBuckets

_WAYS = 16  # buckets in a set: a client has its place in one set alone, and pushes out one of that
_SETS = MAX_CLIENTS // _WAYS
_KEY = struct.Struct("=q")
_BUCKET = struct.Struct("=dq")  # tokens, when they were counted in ns; 0 ns: there is none
_SET_BYTES = _WAYS * (_KEY.size + _BUCKET.size)


class SharedTokenBuckets(TokenBuckets):
    """Lets each client have `rate_per_s` requests a second, in bursts of as many, whichever process
    it is served by.

    The lock on a set is the kernel's (fcntl(2)), not one in the shared memory: a process that is
    killed while it holds it gives it back. It tells processes apart, not threads, so each process
    has a lock of its own around it.
    """

    def __init__(self, rate_per_s: int, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(rate_per_s, clock_ns=clock_ns)
        self._file = os.memfd_create("rate-limit")
        os.ftruncate(self._file, _SETS * _SET_BYTES)
        self._memory = mmap.mmap(self._file, _SETS * _SET_BYTES)

    def forked(self) -> None:
        """In a process that was forked: a lock of its own."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        taken = 0
        for start in range(0, _SETS * _SET_BYTES, _SET_BYTES):
            buckets = self._memory[start + _WAYS * _KEY.size : start + _SET_BYTES]
            taken += sum(counted_ns != 0 for _, counted_ns in _BUCKET.iter_unpack(buckets))
        return taken

    def wait_s(self, client: str) -> float:
        """Take a token of `client`: 0.0, or the seconds until it will have one."""
        if self._burst == 0:
            return 0.0
        # The same in all of them: they were forked with one secret, which nobody outside knows.
        key = hash(client)
        number = key % _SETS
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number)
            try:
                return self._take(number * _SET_BYTES, _KEY.pack(key))
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def _take(self, keys: int, key: bytes) -> float:
        """The set's keys begin at `keys`; its buckets follow them."""
        now_ns, memory = self._clock_ns(), self._memory
        buckets = keys + _WAYS * _KEY.size
        at = memory.find(key, keys, buckets)
        way, between = divmod(at - keys, _KEY.size)
        tokens, counted_ns = self._burst, now_ns
        if at >= 0 and not between:
            tokens, counted_ns = _BUCKET.unpack_from(memory, buckets + way * _BUCKET.size)
        if at < 0 or between or not counted_ns:
            way = self._least_recently_seen(buckets)
            memory[keys + way * _KEY.size : keys + (way + 1) * _KEY.size] = key
            tokens, counted_ns = self._burst, now_ns
        tokens = min(self._burst, tokens + (now_ns - counted_ns) * self._rate_per_ns)
        left = tokens - 1.0 if tokens >= 1.0 else tokens
        _BUCKET.pack_into(memory, buckets + way * _BUCKET.size, left, now_ns)
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._rate_per_ns / 1e9

    def _least_recently_seen(self, buckets: int) -> int:
        """Which way of a set is free, or else seen longest ago."""
        found = _BUCKET.iter_unpack(self._memory[buckets : buckets + _WAYS * _BUCKET.size])
        seen_ns = [counted_ns for _, counted_ns in found]
        return seen_ns.index(min(seen_ns))
