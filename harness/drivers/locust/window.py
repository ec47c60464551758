"""The measured window of a Locust run, as its users see it, and the account that they keep.

Users warm up, wait at a gate, and run for the window. The n-th request of a user is intended one
interval after its n-1-th, or when that was answered if it took longer, and is never sent earlier:
the rule of Locust's `constant_throughput`, which does not catch up, on the window's own clock.
Times are nanoseconds from the window's start on this process's clock, so that processes on several
machines need no common one.
"""

from __future__ import annotations

from array import array
from time import monotonic_ns

import gevent
from gevent.event import Event
from locust.exception import StopUser

from harness.drivers import request_log as L
from harness.drivers.locust.config import next_due_ns

_SLICE_S = 0.25  # how long a user of the warm-up may not notice that it is over


class Window:
    """One process's share of the run. `worker` numbers the process; `body` is what is sent, by
    each user once every `interval_ns`.

    Users are told apart by numbers from 0 within the process.
    """

    def __init__(
        self, worker: int, body: bytes, interval_ns: int, timeout_s: float, loopback: bool
    ) -> None:
        self.worker = worker
        self.body = body
        self.timeout_s = timeout_s
        self.rows = array("q")
        self.recorded = 0
        self.waiting = 0
        self._interval_ns = interval_ns
        self._timeout_ns = int(timeout_s * 1e9)
        self._loopback = loopback
        self._held, self._gate = False, Event()
        self._start_ns = 0
        self._duration_ns = 0
        self._stagger_ns = 0
        self._first_client = 0
        self._due_ns: dict[int, int] = {}  # in the warm-up on the monotonic clock
        self._left = 0  # users that will send again, or wait for an answer

    def source_address(self, user: int) -> str | None:
        """An address of its own for each user, so that there are ports enough, on loopback."""
        if not self._loopback:
            return None
        return f"127.{2 + self.worker % 250}.{user // 250 % 250}.{1 + user % 250}"

    # ---- said by who runs the test ----------------------------------------------------------

    def hold(self) -> None:
        """From now on users wait at the gate before their next request."""
        self._held = True

    def open(self, duration_s: float, users: int, first_client: int) -> None:
        """Let them go. `users`: of all processes, whose first requests are spread over one
        interval; `first_client`: how many of them are in the processes before this one."""
        self._duration_ns = int(duration_s * 1e9)
        self._stagger_ns = self._interval_ns // max(1, users)
        self._first_client = first_client
        self._due_ns.clear()
        self._left = self.waiting
        self._start_ns = monotonic_ns()
        self._gate.set()

    def over(self) -> bool:
        """Whether nobody will send again and every answer is there."""
        return bool(self._start_ns) and not self._left

    def take_rows(self) -> bytes:
        """The rows since the last call, `ROW` int64 each."""
        rows, self.rows = self.rows, array("q")
        return rows.tobytes()

    # ---- said by users ----------------------------------------------------------------------

    def admit(self, user: int) -> int:
        """Wait until this user's next request is due; when it is intended, or `NOT_YET` for a
        request of the warm-up. Waits at the gate between the two.

        Raises `StopUser` when the window is over for this user.
        """
        if not self._start_ns:
            if self._warm_up(user):
                return L.NOT_YET
            self.waiting += 1
            self._gate.wait()
        due_ns = self._due_ns.get(user)
        if due_ns is None:
            due_ns = (self._first_client + user) * self._stagger_ns
            if due_ns >= self._duration_ns:
                self._left -= 1
        if due_ns >= self._duration_ns:
            raise StopUser
        # A loop: gevent's timers count from its loop's last turn, so they may end early.
        while (ahead_ns := self._start_ns + due_ns - monotonic_ns()) > 0:
            gevent.sleep(ahead_ns / 1e9)
        return due_ns

    def _warm_up(self, user: int) -> bool:
        """Wait for the next request of the warm-up; False when users are held."""
        now_ns = monotonic_ns()
        due_ns = max(self._due_ns.get(user, now_ns), now_ns)
        self._due_ns[user] = due_ns + self._interval_ns
        # Not Event.wait(timeout): where the time is 0, gevent 26.9 forgets those who wait.
        while not self._held and (ahead_ns := due_ns - monotonic_ns()) > 0:
            gevent.sleep(min(_SLICE_S, ahead_ns / 1e9))
        return not self._held

    def record(
        self, user: int, intended_ns: int, sent_ns: int, connected_ns: int | None, ended_ns: int,
        code: int,
    ) -> None:  # fmt: skip
        """One request has ended; the stamps are of the monotonic clock, `intended_ns` is not."""
        if intended_ns == L.NOT_YET:
            return  # of the warm-up
        start_ns = self._start_ns
        ended_ns -= start_ns
        if ended_ns - intended_ns > self._timeout_ns and code % L.DETAIL == L.OK:
            code = L.TIMEOUT  # as the open loop counts: from the moment it was due
        connected = L.NOT_YET if connected_ns is None else connected_ns - start_ns
        self.rows.extend((user, intended_ns, sent_ns - start_ns, connected, ended_ns, code))
        self.recorded += 1
        due_ns = self._due_ns[user] = next_due_ns(intended_ns, ended_ns, self._interval_ns)
        if due_ns >= self._duration_ns:
            self._left -= 1
