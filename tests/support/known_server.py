"""A server whose true response times are known: `python known_server.py LAW SERVICE_S SEED STALL`.

One server, first come first served. A request's service is no work but a wait to an absolute
moment by the Lindley recursion, departure = max(arrival, previous departure) + service, from the
server's own arrival stamps. So a slow or busy CPU changes no departure that was computed: it only
delays the answer, and by how much is in the record (`answered_ns` minus `departure_ns`).

LAW is `fixed` or `exponential` (M/D/1 and M/M/1 under Poisson arrivals). With STALL `stall` the
server stands still for the last second of every five, counted from the first arrival.

The first line on standard output is the port. When standard input closes it stops, and writes one
JSON line: `Truth`, one entry a request, in the order of arrival. Stamps are nanoseconds of the
monotonic clock, which the generator's stamps can be compared with.
"""

from __future__ import annotations

import random
import re
import select
import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns

import msgspec

from harness.drivers.open_loop.worker import take_priority

ANSWER = b'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{"accepted":1}'
STALL_EVERY_NS, STALL_NS = 5_000_000_000, 1_000_000_000
_CLIENT = re.compile(rb"X-Client-Id: (\d+)\r\n")


class Truth(msgspec.Struct, frozen=True):
    """What really happened, a column each; all of one length. `service_ns`: what was drawn."""

    client: list[int]
    arrival_ns: list[int]
    service_ns: list[int]
    departure_ns: list[int]
    answered_ns: list[int]


def service_times(law: str, mean_s: float, seed: int) -> Callable[[], int]:
    """A source of service times in nanoseconds; the same for the same arguments."""
    if law == "fixed":
        return lambda: round(mean_s * 1e9)
    source = random.Random(seed)
    return lambda: round(source.expovariate(1 / mean_s) * 1e9)


def departure_after(begin_ns: int, service_ns: int, origin_ns: int, stalls: bool) -> int:
    """When a service that can begin at `begin_ns` is over; it pauses while the server stalls."""
    if not stalls:
        return begin_ns + service_ns
    into = (begin_ns - origin_ns) % STALL_EVERY_NS
    stall_begins = STALL_EVERY_NS - STALL_NS
    if into >= stall_begins:  # it cannot begin before the stall is over
        return begin_ns - into + STALL_EVERY_NS + service_ns
    interrupted = into + service_ns > stall_begins
    return begin_ns + service_ns + (STALL_NS if interrupted else 0)


@dataclass(slots=True)
class _Waiting:
    connection: socket.socket
    index: int
    departure_ns: int


def serve(draw: Callable[[], int], stalls: bool) -> Truth:
    """Serve until standard input closes."""
    truth = Truth([], [], [], [], [])
    queue: deque[_Waiting] = deque()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            wait_s = 60.0
            if queue:
                wait_s = max(0, queue[0].departure_ns - monotonic_ns()) / 1e9
            ready = select.select([listener, sys.stdin], [], [], wait_s)[0]
            if listener in ready:
                queue.append(_admit(listener, truth, draw, stalls))
            while queue and queue[0].departure_ns <= monotonic_ns():
                _answer(queue.popleft(), truth)
            if sys.stdin in ready:
                return truth


def _admit(
    listener: socket.socket, truth: Truth, draw: Callable[[], int], stalls: bool
) -> _Waiting:
    connection, _ = listener.accept()
    arrival_ns = monotonic_ns()
    connection.settimeout(10)
    found = _CLIENT.search(connection.recv(4096))
    if found is None:
        raise ValueError("a request without X-Client-Id")
    origin_ns = truth.arrival_ns[0] if truth.arrival_ns else arrival_ns
    begin_ns = max(arrival_ns, truth.departure_ns[-1] if truth.departure_ns else 0)
    service_ns = draw()
    truth.client.append(int(found[1]))
    truth.arrival_ns.append(arrival_ns)
    truth.service_ns.append(service_ns)
    truth.departure_ns.append(departure_after(begin_ns, service_ns, origin_ns, stalls))
    truth.answered_ns.append(-1)
    return _Waiting(connection, len(truth.client) - 1, truth.departure_ns[-1])


def _answer(waiting: _Waiting, truth: Truth) -> None:
    truth.answered_ns[waiting.index] = monotonic_ns()
    try:
        waiting.connection.sendall(ANSWER)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the client did not wait for it; what was true of it is in the record
    waiting.connection.close()


def main() -> None:
    """Serve, then say what was true."""
    law, mean_s, seed, stall = sys.argv[1:]
    take_priority()  # what it waits for is a moment, and other programs must not make it late
    # As the generator does: a sleep ends within a nanosecond of the wish, not of 50 microseconds.
    with open("/proc/self/timerslack_ns", "w", encoding="ascii") as file:
        file.write("1")
    truth = serve(service_times(law, float(mean_s), int(seed)), stall == "stall")
    sys.stdout.buffer.write(msgspec.json.encode(truth) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
