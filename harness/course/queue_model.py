"""A model of the two servers that draws the same numbers in Python and in JavaScript.

It is the model of notebook 7 (requests arrive at random, wait for a core, hold it for a while, are
gone) with what the lab's servers have besides: workers, a bounded queue and its policy, waiting
that needs no core, the cost of a thread, clients who give up. `docs/simulator/model.js` is its
twin, and a test holds the two to the same events for the same seed. So both use 32-bit integers
and the four operations of IEEE 754 alone, which every machine rounds alike (no `log` of a library),
and every time is a whole number of nanoseconds.

Pure: no clock, no file, no thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, NamedTuple

Architecture = Literal["thread-per-request", "thread-pool", "event-loop"]
Kind = Literal["arrive", "reject", "queue", "drop", "start", "run", "ready", "wait", "answer"]

_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9
_DISCARDED = 15  # until the seed has spread over the whole state
_ROOT_HALF, _LN_2 = 0.7071067811865476, 0.6931471805599453
_TERMS = 25  # odd powers up to this one: the next is below the last bit
# The margins of servers/patience.py: what the server does not see of a wait, and the gains.
_UNSEEN_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A load, the machine, and the servers. Times are in the unit that their name ends in."""

    seed: int = 1  # below 2**32
    arrivals: Literal["poisson", "constant"] = "poisson"
    rate: float = 200.0  # requests a second
    service: Literal["constant", "exponential"] = "exponential"
    cpu_us: float = 1000.0  # mean time on a core
    io_us: float = 0.0  # mean time that a handler waits, without a core
    slow: float = 0.0  # share of requests, 0 to 1, that take more:
    slow_cpu_us: float = 0.0  # so much more on a core,
    slow_io_us: float = 0.0  # and so much more of waiting
    cores: int = 1
    slice_us: float = 5000.0  # a thread leaves its core after that if others wait; 0: it need not
    thread_us: float = 0.0  # of a core, to make and end one thread
    workers: int = 16
    queue: int = 0  # the pool's bound; 0: none
    policy: Literal["fifo", "lifo", "drop-expired"] = "fifo"
    patience_ms: float = 1000.0  # what `drop-expired` takes a client's patience to be
    timeout_ms: float = 1000.0  # what it is


class Event(NamedTuple):
    """Something that happened to a request."""

    at_ns: int
    kind: Kind
    request: int  # counted from 0
    worker: int  # of the pool, from 0; -1 where there is none


class Sfc32:
    """Chris Doty-Humphrey's small fast counting generator, 128 bits of state."""

    def __init__(self, seed: int, stream: int) -> None:
        self._state = (seed & _WORD, stream & _WORD, _GOLDEN, 1)
        for _ in range(_DISCARDED):
            self.next()

    def next(self) -> int:
        """A whole number from 0 to 2**32 - 1."""
        a, b, c, counter = self._state
        drawn = (a + b + counter) & _WORD
        rotated = (c << 21 | c >> 11) & _WORD
        self._state = (
            b ^ b >> 9,
            (c + (c << 3)) & _WORD,
            (rotated + drawn) & _WORD,
            (counter + 1) & _WORD,
        )
        return drawn

    def exponential(self) -> float:
        """From the exponential distribution of mean 1."""
        return minus_ln((self.next() + 1) / 4294967296)


def minus_ln(x: float) -> float:
    """-ln(x) of 0 < x <= 1, to the last digits, by basic arithmetic: halved powers of two, and the
    series of the inverse hyperbolic tangent."""
    halvings = 0
    while x < _ROOT_HALF:
        x, halvings = x * 2, halvings + 1
    s = (1 - x) / (1 + x)
    square, total = s * s, 0.0
    for power in range(_TERMS, 0, -2):
        total = total * square + 1 / power
    return halvings * _LN_2 + 2 * s * total


def _whole(value: float) -> int:
    return math.floor(value + 0.5)


@dataclass(slots=True, eq=False)
class Request:
    """A request: what it needs, drawn before anybody serves it, and what became of it."""

    number: int
    arrived_ns: int
    cpu_ns: int
    io_ns: int
    slow: bool
    left_ns: int = 0  # of a core
    begun_ns: int = 0
    worker: int = -1


def load(settings: ModelSettings) -> Iterator[Request]:
    """All requests, without an end. Each property has a stream of its own, so that a setting which
    changes one leaves the others alone, and both servers get the same."""
    gaps, cpu, io, slow = (Sfc32(settings.seed, stream) for stream in (1, 2, 3, 4))
    mean_ns, at_ns, number = 1e9 / settings.rate, 0, 0
    random = settings.service == "exponential"
    while True:
        if settings.arrivals == "poisson":
            at_ns += _whole(mean_ns * gaps.exponential())
        else:
            at_ns = _whole(mean_ns * (number + 1))
        is_slow = slow.next() < settings.slow * 4294967296
        more_cpu, more_io = (settings.slow_cpu_us, settings.slow_io_us) if is_slow else (0.0, 0.0)
        yield Request(
            number,
            at_ns,
            _whole(settings.cpu_us * 1000 * (cpu.exponential() if random else 1.0))
            + _whole(more_cpu * 1000),
            _whole(settings.io_us * 1000 * (io.exponential() if random else 1.0))
            + _whole(more_io * 1000),
            is_slow,
        )
        number += 1


@dataclass(slots=True)
class Patience:
    """Whose answer would come too late, as servers/patience.py reckons it."""

    patience_ns: float
    mean_ns: float = 0.0
    deviation_ns: float = 0.0

    def is_over(self, waited_ns: int) -> bool:
        """Whether an answer that is begun now would come too late."""
        expected_ns = min(
            self.mean_ns + max(_UNSEEN_NS, 4 * self.deviation_ns), self.patience_ns / 2
        )
        return waited_ns + expected_ns > self.patience_ns

    def learn(self, taken_ns: int) -> None:
        """One was served, which took that long."""
        self.deviation_ns += (abs(taken_ns - self.mean_ns) - self.deviation_ns) / 4
        self.mean_ns += (taken_ns - self.mean_ns) / 8


@dataclass(slots=True)
class Server:
    """One architecture under a load. `run` leaves its events in `events`."""

    settings: ModelSettings
    architecture: Architecture
    events: list[Event] = field(default_factory=list)
    _due: list[tuple[int, int, str, Request]] = field(default_factory=list)
    _number: int = 0  # of what is due, so that what is due at once keeps its order
    _now_ns: int = 0
    _cores: int = 1
    _slice_ns: int = 0
    _thread_ns: int = 0
    _busy: int = 0
    _ready: deque[Request] = field(default_factory=deque)  # for a core
    _queue: deque[Request] = field(default_factory=deque)  # for a worker
    _idle: list[int] = field(default_factory=list)  # the last to become idle is the next to work
    _patience: Patience = field(default_factory=lambda: Patience(0.0))
    _coming: Iterator[Request] = field(default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        chosen = self.settings
        if self.architecture != "event-loop":  # which has one thread: one core, and no slices
            self._cores, self._slice_ns = chosen.cores, _whole(chosen.slice_us * 1000)
        if self.architecture == "thread-per-request":
            self._thread_ns = _whole(chosen.thread_us * 1000)
        self._idle = list(range(chosen.workers - 1, -1, -1))
        self._patience = Patience(chosen.patience_ms * 1e6)
        self._coming = load(chosen)
        self._next_arrival()

    def run(self, until_ns: int) -> None:
        """On, up to and with that moment."""
        act = {"arrive": self._arrive, "slice": self._slice_ends, "io": self._finish}
        while self._due[0][0] <= until_ns:
            self._now_ns, _, kind, request = heappop(self._due)
            act[kind](request)

    def _later(self, after_ns: int, kind: str, request: Request) -> None:
        heappush(self._due, (self._now_ns + after_ns, self._number, kind, request))
        self._number += 1

    def _note(self, kind: Kind, request: Request) -> None:
        self.events.append(Event(self._now_ns, kind, request.number, request.worker))

    def _next_arrival(self) -> None:
        request = next(self._coming)
        self._later(request.arrived_ns - self._now_ns, "arrive", request)

    def _arrive(self, request: Request) -> None:
        self._next_arrival()
        self._note("arrive", request)
        if self.architecture != "thread-pool":
            self._start(request)
        elif self._idle:
            request.worker = self._idle.pop()
            self._start(request)
        elif self.settings.queue and len(self._queue) >= self.settings.queue:
            self._note("reject", request)
        else:
            self._queue.append(request)
            self._note("queue", request)

    def _start(self, request: Request) -> None:
        self._note("start", request)
        request.begun_ns = self._now_ns
        request.left_ns = request.cpu_ns + self._thread_ns
        if not request.left_ns:
            self._wait(request)
        elif self._busy < self._cores:
            self._busy += 1
            self._run_on_core(request)
        else:
            self._ready.append(request)

    def _run_on_core(self, request: Request) -> None:
        self._note("run", request)
        self._slice(request)

    def _slice(self, request: Request) -> None:
        piece_ns = request.left_ns
        if self._slice_ns:
            piece_ns = min(piece_ns, self._slice_ns)
        request.left_ns -= piece_ns
        self._later(piece_ns, "slice", request)

    def _slice_ends(self, request: Request) -> None:
        if request.left_ns and not self._ready:
            self._slice(request)
            return
        if request.left_ns:
            self._note("ready", request)
            self._ready.append(request)
        if self._ready:
            self._run_on_core(self._ready.popleft())
        else:
            self._busy -= 1
        if not request.left_ns and request.io_ns:
            self._wait(request)
        elif not request.left_ns:
            self._finish(request)

    def _wait(self, request: Request) -> None:
        if request.io_ns:
            self._note("wait", request)
        self._later(request.io_ns, "io", request)

    def _finish(self, request: Request) -> None:
        self._note("answer", request)
        if self.architecture == "thread-pool":
            self._patience.learn(self._now_ns - request.begun_ns)
            self._next_for(request.worker)

    def _next_for(self, worker: int) -> None:
        while self._queue:
            newest = self.settings.policy == "lifo"
            request = self._queue.pop() if newest else self._queue.popleft()
            expires = self.settings.policy == "drop-expired"
            if expires and self._patience.is_over(self._now_ns - request.arrived_ns):
                self._note("drop", request)
                continue
            request.worker = worker
            self._start(request)
            return
        self._idle.append(worker)


def simulate(settings: ModelSettings, architecture: Architecture, until_s: float) -> list[Event]:
    """Everything that happens in the first seconds."""
    server = Server(settings, architecture)
    server.run(_whole(until_s * 1e9))
    return server.events


def erlang_c(servers: int, offered: float) -> float:
    """The share of requests that wait in M/M/c, by the recursion of Erlang's B; `offered`: rate
    times mean service, below `servers`."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))
