"""The measured window of a Locust run, as its users see it, and the account that they keep.

Users warm up, wait at a gate, and run for the window. The n-th request of a user is intended one
interval after its n-1-th, or when that was answered if it took longer: so Locust's
`constant_throughput` has it, which does not catch up. Times are nanoseconds from the window's start
on this process's clock, so that processes on several machines need no common one.
"""

from __future__ import annotations

from array import array
from time import monotonic_ns

import gevent
from gevent.event import Event
from locust.exception import StopUser

from harness.load.ledger import NOT_YET

ROW = 6  # user, intended, sent, connected, ended, code


class Window:
    """One process's share of the run. `worker` numbers the process; `body` is what is sent."""

    def __init__(
        self, worker: int, body: bytes, rate_per_user: float, timeout_s: float, loopback: bool
    ) -> None:
        self.worker = worker
        self.body = body
        self.timeout_s = timeout_s
        self.rows = array("q")
        self.recorded = 0
        self._interval_ns = int(1e9 / rate_per_user)
        self._loopback = loopback
        self._holding = False
        self._gate = Event()
        self._start_ns = 0
        self._duration_ns = 0
        self._due_ns: dict[int, int] = {}
        self._stagger_ns = 0
        self._first_client = 0
        self._busy = 0
        self.waiting = 0

    def source_address(self, user: int) -> str | None:
        """An address of its own for each user, so that there are ports enough, on loopback."""
        if not self._loopback:
            return None
        return f"127.{2 + self.worker % 250}.{user // 250 % 250}.{1 + user % 250}"

    # ---- said by who runs the test ----------------------------------------------------------

    def hold(self) -> None:
        """From now on users wait at the gate before their next request."""
        self._holding = True

    def open(self, duration_s: float, users: int, first_client: int) -> None:
        """Let them go. `users`: of all processes, whose first requests are spread over one
        interval; `first_client`: how many of them are in the processes before this one."""
        self._duration_ns = int(duration_s * 1e9)
        self._stagger_ns = self._interval_ns // max(1, users)
        self._first_client = first_client
        self._start_ns = monotonic_ns()
        self._gate.set()

    @property
    def start_ns(self) -> int:
        """The window's start on this process's monotonic clock."""
        return self._start_ns

    def over(self) -> bool:
        """Whether the window has passed and no request is in flight."""
        past = monotonic_ns() - self._start_ns >= self._duration_ns
        return bool(self._start_ns) and past and not self._busy

    def take_rows(self) -> bytes:
        """The rows since the last call, `ROW` int64 each."""
        rows, self.rows = self.rows, array("q")
        return rows.tobytes()

    # ---- said by users ----------------------------------------------------------------------

    def admit(self, user: int) -> int:
        """When this user's next request is intended. Waits at the gate between warm-up and window.

        Raises `StopUser` when the window is over.
        """
        if not self._start_ns:
            if not self._holding:
                return NOT_YET
            self.waiting += 1
            self._gate.wait()
        if user not in self._due_ns:
            # A number of its own within this process, whatever numbers Locust has used up before.
            self._due_ns[user] = (self._first_client + len(self._due_ns)) * self._stagger_ns
            ahead_ns = self._start_ns + self._due_ns[user] - monotonic_ns()
            gevent.sleep(max(0.0, ahead_ns / 1e9))
        if self._due_ns[user] >= self._duration_ns:
            raise StopUser
        self._busy += 1
        return self._due_ns[user]

    def record(
        self, user: int, intended_ns: int, sent_ns: int, connected_ns: int | None, ended_ns: int,
        code: int,
    ) -> None:  # fmt: skip
        """One request has ended; the stamps are of the monotonic clock, `intended_ns` is not."""
        if intended_ns == NOT_YET:
            return  # of the warm-up
        start_ns = self._start_ns
        connected = NOT_YET if connected_ns is None else connected_ns - start_ns
        self.rows.extend((user, intended_ns, sent_ns - start_ns, connected, ended_ns - start_ns,
                          code))  # fmt: skip
        self.recorded += 1
        self._busy -= 1
        self._due_ns[user] = max(intended_ns + self._interval_ns, ended_ns - start_ns)
