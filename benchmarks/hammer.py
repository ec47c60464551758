"""`python -m benchmarks.hammer`: what threads of a server share, under 16 threads and a million
requests, with every account exact. It needs what the servers need and no more, so it runs on
whatever interpreter it is given: `python3.14t -m benchmarks.hammer`, in the project's folder.

Threads take turns each microsecond (`--switch-interval`) where there is a GIL; without it they run
at once. The requests go through the real acceptor, the real backends, the request path, its rate
limiter and its recorders; only their sockets are in memory. Meanwhile a housekeeper reads reports
without a pause. Then the same of each shared object by itself. Exit status 0 when every account
is exact, 1 when one is not, 2 for what cannot be run.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

from servers.acceptor import Acceptor
from servers.backend import Backend, Peak
from servers.connection import Connection
from servers.options import parse_options
from servers.patience import Patience
from servers.rate_limit import TokenBuckets
from servers.registry import resolve
from servers.report import gil_is_enabled
from servers.request_path import RequestPath
from servers.telemetry import ROW, Recorder, Telemetry, count_rows
from servers.thread_pool import WorkQueue

THREADS = 16
SWITCH_INTERVAL_S = 1e-6
DRAIN_S = 60.0
_BODY = b'{"name": "cpu.load", "value": 0.42}'
_RESET = b""  # a client that leaves instead of sending anything


def _post(body: bytes, client: str) -> bytes:
    head = f"POST /metrics HTTP/1.1\r\nX-Client-Id: {client}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


# One after the other: most are good, of 32 clients; the rest are refused in each way there is.
GOOD = [_post(_BODY, f"client-{number}") for number in range(32)]
MIXED = [
    *GOOD,
    _post(b"{", "broken"),
    _post(b'{"name": 1}', "no-metric"),
    b"GET /nowhere HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    _RESET,
    *[_post(_BODY, "greedy")] * 4,
]
RATE_LIMIT_PER_S = 1000  # which 4 of 41 requests of one client are over, and 1 of 41 is not


class MemorySocket:
    """A client's connection without a kernel: it sends one request and keeps the answer's status.

    `ended` gets the status of what was answered, 0 of a connection that was closed without.
    """

    __slots__ = ("_ended", "_request", "_status")

    def __init__(self, request: bytes, ended: list[int]) -> None:
        self._request = request
        self._ended = ended
        self._status = 0

    def recv(self, size: int, flags: int) -> bytes:
        if self._request == _RESET:
            raise ConnectionResetError
        request, self._request = self._request, b""
        return request

    def send(self, answer: bytes, flags: int) -> int:
        self._status = int(bytes(answer[9:12]))
        return len(answer)

    def close(self) -> None:
        self._ended.append(self._status)


def _nobody() -> Any:
    """The socket of a connection that nobody serves."""
    return MemorySocket(_RESET, [])


class MemoryListener:
    """Gives the acceptor `requests` connections, and then stops it. `most`: how many may be in the
    server, so that no more are refused than by a full queue."""

    def __init__(self, requests: int, most: int) -> None:
        self.ended: list[int] = []
        self._left = requests
        self._given = 0
        self._most = most
        self.acceptor: Acceptor | None = None

    def accept(self) -> tuple[Any, tuple[str, int]]:
        if self._given == self._left:
            assert self.acceptor is not None
            self.acceptor.stopping = True
            raise BlockingIOError
        while self._given - len(self.ended) >= self._most:
            time.sleep(0)  # its threads are behind
        self._given += 1
        request = MIXED[self._given % len(MIXED)]
        return MemorySocket(request, self.ended), ("127.0.0.1", self._given)

    def setsockopt(self, *option: object) -> None:
        """No kernel, no options."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account: what there must be and what was found, the two being equal if all is well."""

    what: str
    wanted: object
    found: object

    @property
    def exact(self) -> bool:
        return self.wanted == self.found


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the hammer came to."""

    name: str
    requests: int
    seconds: float
    accounts: list[Account]

    @property
    def exact(self) -> bool:
        return all(account.exact for account in self.accounts)


# ---- whole requests ---------------------------------------------------------------------------


def serve(backend_name: str, requests: int, *options: str) -> list[Account]:
    """`requests` connections through a backend, as a server serves them, and its accounts."""
    chosen = parse_options([backend_name, *options], "hammer")
    limiter = TokenBuckets(RATE_LIMIT_PER_S * len(MIXED))
    path = RequestPath(limiter, lambda sock: sock.close(), chosen.workload)
    telemetry = Telemetry()
    backend = resolve(backend_name)(chosen, path, telemetry)
    listener: Any = MemoryListener(requests, 2 * chosen.queue_size)
    acceptor = Acceptor(listener, 1, 10**15, path.linger)
    listener.acceptor = acceptor
    backend.start()
    with _housekeeper(backend, acceptor) as disorder:
        acceptor.run(backend.dispatch)
        drained = backend.drain(DRAIN_S)
    return [
        Account("drained in time", True, drained),
        Account("sums that fell or ran ahead, as the housekeeper saw them", [], disorder),
        *_accounts(requests, listener.ended, backend, acceptor),
    ]


@contextmanager
def _housekeeper(backend: Backend, acceptor: Acceptor) -> Iterator[list[str]]:
    """A thread that reads all that a report reads, without a pause; what it saw that cannot be."""
    disorder: list[str] = []
    over = threading.Event()

    def look() -> None:
        ended = 0
        while not over.is_set():
            before, ended = ended, _ended(_recorders(backend, acceptor))
            if not before <= ended <= acceptor.accepted:
                disorder.append(f"{before} ended, then {ended} of {acceptor.accepted}")
            backend.gauges()
            backend.step_peaks()
            backend.telemetry.in_progress()
            count_rows(backend.telemetry.stage_rows())

    thread = threading.Thread(target=_reported, args=(look, disorder), name="housekeeper")
    thread.start()
    try:
        yield disorder
    finally:
        over.set()
        thread.join()


def _reported(work: Callable[[], object], errors: list[str]) -> None:
    try:
        work()
    except Exception as error:  # in a thread nobody else would hear of it
        errors.append(f"{type(error).__name__}: {error}")


def _recorders(backend: Backend, acceptor: Acceptor) -> list[Recorder]:
    return [acceptor.recorder, *backend.telemetry.recorders()]


def _ended(recorders: list[Recorder]) -> int:
    statuses = sum(sum(r.statuses.copy().values()) for r in recorders)
    return statuses + sum(r.timed_out + r.reset + r.abandoned for r in recorders)


def _accounts(
    requests: int, seen: list[int], backend: Backend, acceptor: Acceptor
) -> list[Account]:
    """The server's accounts against what its clients saw."""
    recorders, telemetry = _recorders(backend, acceptor), backend.telemetry
    statuses: Counter[int] = Counter()
    rejected: Counter[str] = Counter()
    for recorder in recorders:
        statuses.update(recorder.statuses)
        rejected.update(recorder.rejected)
    by_clients = Counter(seen)
    resets = by_clients.pop(0, 0)
    rows = count_rows(telemetry.stage_rows()) + telemetry.rows_dropped()
    return [
        Account("accepted", requests, acceptor.accepted),
        Account("ended", requests, _ended(recorders)),
        Account(
            "answers by status", dict(sorted(by_clients.items())), dict(sorted(statuses.items()))
        ),
        Account("closed without an answer", resets, sum(r.reset for r in recorders)),
        Account("refused for a full queue or no thread", by_clients[503], sum(rejected.values())),
        Account("metrics taken", by_clients[202], sum(r.metrics for r in recorders)),
        Account("rows of stage times", by_clients[202], rows),
        Account("errors of handlers", 0, sum(r.handler_errors for r in recorders)),
        Account("errors of dispatch", 0, acceptor.dispatch_errors),
        Account("in progress", [], telemetry.in_progress()),
        Account("recorders given back", len(recorders) - 1, len(telemetry._free)),
    ]


# ---- each shared object -----------------------------------------------------------------------


def together(work: Callable[[int], None], threads: int = THREADS) -> list[str]:
    """Run `work(number)` in threads that begin at once; the errors that they raised."""
    errors: list[str] = []
    ready = threading.Barrier(threads)

    def one(number: int) -> None:
        ready.wait()
        work(number)

    def begin(number: int) -> None:
        _reported(lambda: one(number), errors)

    started = [threading.Thread(target=begin, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return errors


def recorders(requests: int) -> list[Account]:
    """Recorders are lent, counted in and given back, while windows are opened and read."""
    telemetry, each = Telemetry(), requests // THREADS
    row, stolen = ROW.pack(*range(8)), []
    own = [Connection(_nobody(), "", 0, 0) for _ in range(THREADS)]

    def work(number: int) -> None:
        for turn in range(each):
            recorder = telemetry.lend()
            if recorder.connection is not None:
                stolen.append(number)
            recorder.connection = own[number]
            recorder.metrics += 1
            recorder.answered(202 if turn % 2 else 422, own[number])
            recorder.rows.append(row)
            if recorder.connection is not own[number]:
                stolen.append(number)
            telemetry.give_back(recorder)
            if number == 0 and turn % 1000 == 0:
                telemetry.open_window()

    errors = together(work)
    found, free = telemetry.recorders(), telemetry._free.copy()
    telemetry.open_window()
    rows = _one_window(telemetry, row)
    return [
        Account("errors", [], errors),
        Account("recorders that two had at once", [], stolen),
        Account("counted", each * THREADS, sum(r.metrics for r in found)),
        Account("answered", each * THREADS, sum(sum(r.statuses.values()) for r in found)),
        Account("recorders, each free once", sorted(map(id, found)), sorted(map(id, free))),
        Account("rows of one window", *rows),
    ]


def _one_window(telemetry: Telemetry, row: bytes) -> tuple[int, int]:
    """Rows that 16 threads put into one window, and those kept or said to be dropped."""
    each = 20_000

    def work(number: int) -> None:
        for _ in range(each):
            recorder = telemetry.lend()
            recorder.rows.append(row)
            telemetry.give_back(recorder)

    together(work)
    return each * THREADS, count_rows(telemetry.stage_rows()) + telemetry.rows_dropped()


def rate_limiter(requests: int) -> list[Account]:
    """Clients take tokens while no time passes: each gets its burst, to the last token."""
    clients, burst = 50, max(1, requests // 200)
    limiter = TokenBuckets(burst, clock_ns=lambda: 0)
    taken: list[Counter[int]] = [Counter() for _ in range(THREADS)]

    def work(number: int) -> None:
        for turn in range(requests // THREADS):
            client = turn % clients
            if limiter.wait_s(f"client-{client}") == 0.0:
                taken[number][client] += 1

    errors = together(work)
    asked = requests // THREADS // clients * THREADS
    got = sum(taken, Counter())
    crowd = TokenBuckets(burst, max_clients=100)

    def visit(number: int) -> None:
        for turn in range(500):
            crowd.wait_s(f"{number} {turn}")

    errors += together(visit)
    return [
        Account("errors", [], errors),
        Account("tokens of each client", {min(burst, asked)},
                {min(got[client], burst, asked) for client in range(clients)}),
        Account("tokens beyond the burst", 0, sum(max(0, n - burst) for n in got.values())),
        Account("clients remembered of 8,000", 100, len(crowd)),
    ]  # fmt: skip


def work_queue(requests: int, newest_first: bool = False) -> list[Account]:
    """One puts, 15 take: each item is taken once or refused, and each of them hears of the end."""
    queue, takers = WorkQueue(1000, newest_first), THREADS - 1
    items = [Connection(_nobody(), str(number), 0, 0) for number in range(requests)]
    taken: list[list[Connection]] = [[] for _ in range(takers)]
    refused, deepest = [0], [0]

    def work(number: int) -> None:
        if number < takers:
            while (item := queue.get()) is not None:
                taken[number].append(item)
            return
        for item in items:
            refused[0] += not queue.put(item)
            deepest[0] = max(deepest[0], len(queue))
        queue.close(takers)

    errors = together(work)
    found = [id(item) for each in taken for item in each]
    return [
        Account("errors", [], errors),
        Account("taken and refused", requests, len(found) + refused[0]),
        Account("taken twice", 0, len(found) - len(set(found))),
        Account("deeper than it may be", 0, max(0, deepest[0] - 1000)),
        Account("left over", (0, []), (len(queue), queue.take_all())),
    ]


def claims(requests: int) -> list[Account]:
    """All threads claim each connection: one gets it."""
    each = requests // THREADS
    connections = [Connection(_nobody(), "", 0, 0) for _ in range(each)]
    got = [0] * THREADS

    def work(number: int) -> None:
        got[number] = sum(connection.claim() for connection in connections)

    return [Account("errors", [], together(work)), Account("claimed", each, sum(got))]


def peaks(requests: int) -> list[Account]:
    """The acceptor notes, the housekeeper takes steps: no peak that was not, none above the top."""
    peak, high, over = Peak(), requests // 4, threading.Event()
    steps: list[int] = []

    def work(number: int) -> None:
        if number:
            while not over.is_set():
                steps.append(peak.take_step(0))
                time.sleep(0)
            return
        for value in range(high):
            peak.note(value)
        over.set()

    errors = together(work, threads=2)
    return [
        Account("errors", [], errors),
        Account("steps beyond what was noted", [], [step for step in steps if step >= high]),
        Account("peak of the window", True, peak.window <= high - 1),
        Account("lower than before", [], _falls([step for step in steps if step])),
    ]


def _falls(values: list[int]) -> list[tuple[int, int]]:
    """Neighbours of which the second is lower: what was noted only grew."""
    return [(a, b) for a, b in pairwise(values) if b < a]


def patience(requests: int) -> list[Account]:
    """Estimates that 16 threads learn at once: each is one that a single thread could have had."""
    estimate = Patience(1.0)
    torn: list[tuple[float, float]] = []

    def work(number: int) -> None:
        for _ in range(requests // THREADS):
            estimate.learn(8_000_000)
            mean, deviation = estimate._mean_and_deviation_ns
            if not (0 < mean <= 8_000_000 and 0 <= deviation <= 8_000_000):
                torn.append((mean, deviation))

    return [Account("errors", [], together(work)), Account("impossible estimates", [], torn)]


def tokens(requests: int) -> list[Account]:
    """`SimpleQueue` alone, on which the pool's queue leans: nothing is lost between 16 threads."""
    queue: SimpleQueue[int] = SimpleQueue()
    each, got = requests // THREADS, [0] * THREADS

    def work(number: int) -> None:
        for turn in range(each):
            queue.put(number * each + turn)
            got[number] += queue.get()

    errors, last = together(work), each * THREADS
    return [
        Account("errors", [], errors),
        Account("the sum of what was put and taken", last * (last - 1) // 2, sum(got)),
        Account("left over", 0, queue.qsize()),
    ]


PARTS: dict[str, Callable[[int], list[Account]]] = {
    "thread pool": lambda requests: serve("thread-pool", requests, "--queue-size", "200"),
    "newest first": lambda requests: serve(
        "thread-pool", requests // 4, "--queue-size", "200", "--queue-policy", "lifo"
    ),
    "dropping expired": lambda requests: serve(
        "thread-pool", requests // 4, "--queue-policy", "drop-expired", "--patience", "10ms"
    ),
    "thread per request": lambda requests: serve(
        "thread-per-request", requests // 4, "--max-threads", "16"
    ),
    "recorders": recorders,
    "rate limiter": rate_limiter,
    "queue, oldest first": work_queue,
    "queue, newest first": lambda requests: work_queue(requests, newest_first=True),
    "SimpleQueue": tokens,
    "claims": claims,
    "peaks": peaks,
    "patience": patience,
}


def hammer(requests: int, switch_interval_s: float = SWITCH_INTERVAL_S) -> Iterator[Part]:
    """All parts, one after the other, with threads that take turns that often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(switch_interval_s)
    try:
        for name, part in PARTS.items():
            began_s = time.monotonic()
            accounts = part(requests)
            yield Part(name, requests, time.monotonic() - began_s, accounts)
    finally:
        sys.setswitchinterval(before)


def main() -> int:
    """Print every part as it ends; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hammer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=1_000_000, help="(1000000)")
    parser.add_argument(
        "--switch-interval",
        type=float,
        default=SWITCH_INTERVAL_S,
        help="seconds until another thread's turn, with the GIL (0.000001)",
    )
    typed = parser.parse_args()
    if not 1000 <= typed.requests <= 100_000_000:
        parser.error(f"--requests must be from 1000 to 100000000, not {typed.requests}")
    if not 1e-6 <= typed.switch_interval <= 1:
        parser.error(f"--switch-interval must be from 0.000001 to 1, not {typed.switch_interval:g}")
    logging.disable(logging.ERROR)  # the refusals are meant
    gil = "with the GIL" if gil_is_enabled() else "without the GIL"
    print(f"Python {sys.version.split()[0]}, {gil}; {THREADS} threads, {typed.requests:,} requests")
    exact = True
    for part in hammer(typed.requests, typed.switch_interval):
        exact = exact and part.exact
        print(f"{part.name:22} {part.seconds:7.1f} s  {len(part.accounts):2} accounts  "
              f"{'exact' if part.exact else 'NOT EXACT'}", flush=True)  # fmt: skip
        for account in part.accounts:
            if not account.exact:
                print(f"  {account.what}: {account.wanted!r} wanted, {account.found!r} found")
    gil = "with the GIL" if gil_is_enabled() else "without the GIL"
    print(f"{'Every account is exact' if exact else 'An account is not exact'}, {gil}.")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
