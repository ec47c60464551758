"""Workers of other machines that have come to a master, numbered from 1 by the names of their
machines, and how far their clocks are from this machine's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from time import monotonic_ns, time_ns
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult
from locust.env import Environment
from locust.exception import RPCError
from locust.runners import STATE_MISSING, MasterRunner

from harness.drivers.locust.config import Stopped
from harness.drivers.locust.worker import ARRIVE_S, TICK_S, wait_for

_CALLS = 10  # to each worker for its clock, of which the quickest counts
_CALL_S = 2.0  # for an answer


def master_of(environment: Environment, host: str, port: int) -> MasterRunner:
    """A master that workers can come to. Raises `Stopped`."""
    try:
        return environment.create_master_runner(host, port)
    except RPCError as error:
        raise Stopped(f"workers cannot be waited for at {host}:{port}: {error}") from error


def obituary(lost: Collection[int], count: int, arrived: Mapping[int, int]) -> str:
    """A sentence on those of `count` workers that were lost. `arrived`: rows of each."""
    return "; ".join(
        f"worker {number} of {count} died (its account ends after {arrived.get(number, 0):,} "
        "requests)"
        for number in lost
    )


Listener = Callable[..., None]  # of `environment` and `msg`, by name
Listen = Callable[[str, Listener], None]  # from when on a message of that name is heard


class Crew:
    """`count` workers, who have `wait_s` seconds to come to `where`. Whoever else sends messages,
    like a worker of the run before, is not listened to."""

    def __init__(self, runner: MasterRunner, count: int, where: str, wait_s: float) -> None:
        self._runner = runner
        self.count = count
        self._where, self._wait_s = where, wait_s
        self._names: dict[int, str] = {}
        self._ready: set[int] = set()
        self.listen("lab_ready", self._on_ready)

    def listen(self, message: str, listener: Listener) -> None:
        """Hear a message, whose data have a `number`, of the worker that has it."""

        def heard(environment: Environment, msg: Any, **_: Any) -> None:
            if self._names.get(msg.data["number"]) == msg.node_id:
                listener(environment=environment, msg=msg)

        self._runner.register_message(message, heard)

    def gather(self, message: str, order: Callable[[int], msgspec.Struct]) -> None:
        """Wait for them, and tell each what to do. Raises `Stopped`."""
        clients, port = self._runner.clients, self._where.rpartition(":")[2]
        try:
            wait_for(lambda: len(clients.ready) >= self.count, self._wait_s, "")
        except Stopped:
            raise Stopped(
                f"{len(clients.ready)} of {self.count} workers came to {self._where} within "
                f"{self._wait_s:g} s; run labrun locust-worker --master HOST:{port} "
                "where the others are to be, HOST being this machine"
            ) from None
        # By their names, which begin with the machine's: it has the same number each time.
        came = sorted(clients.ready, key=lambda client: client.id)
        for number, client in enumerate(came[: self.count], 1):
            self._names[number] = client.id
            self.tell(number, message, msgspec.to_builtins(order(number), builtin_types=(bytes,)))
        wait_for(lambda: len(self._ready) == self.count or self.lost(), ARRIVE_S,
                 "that all workers understood their order")  # fmt: skip
        if self.lost():
            raise Stopped(obituary(self.lost(), self.count, {}))
        if len(clients.ready) > self.count:
            # Locust gives users to whoever is there; without an order they would be in no account.
            raise Stopped(
                f"{len(clients.ready)} workers came to {self._where} and {self.count} were "
                "expected; end those that are too many, or raise --expect-workers"
            )

    def tell(self, number: int, message: str, data: Any) -> None:
        """Send one of them a message."""
        self._runner.send_message(message, data, self._names[number])

    def machine(self, number: int) -> str:
        """The name of the machine that it is on."""
        return self._names[number].rpartition("_")[0]

    def lost(self) -> list[int]:
        """Those that have not been heard of for seconds, or left."""
        clients = self._runner.clients
        return [
            number
            for number, name in self._names.items()
            if name not in clients or clients[name].state == STATE_MISSING
        ]

    def dismiss(self) -> None:
        """Tell all who came that the trial is over."""
        for client in self._runner.clients.all:
            self._runner.send_message("lab_end", None, client.id)
        gevent.sleep(TICK_S)  # for the messages to leave

    def _on_ready(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._ready.add(msg.data["number"])


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a worker's clocks are ahead of this machine's: the one that counts from the machine's
    start, and the one that tells the time. Neither is off by more than `error_ns`."""

    monotonic_ns: int
    wall_ns: int
    error_ns: int


class Clocks:
    """Asks workers for their clocks. The answer was given at some time between the question and its
    arrival, so the middle is off by half of that at most; of several answers the quickest counts
    (F. Cristian, Probabilistic clock synchronization, Distributed Computing 3, 1989)."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._asked: dict[tuple[int, int], AsyncResult] = {}  # by worker and when that was
        crew.listen("lab_clock", self._on_clock)

    def offset(self, number: int) -> Offset:
        """Of that worker. Raises `Stopped` when it does not answer."""
        found = [self._ask(number) for _ in range(_CALLS)]
        return min(found, key=lambda offset: offset.error_ns)

    def _ask(self, number: int) -> Offset:
        asked_ns, asked_wall_ns = monotonic_ns(), time_ns()
        waiting = self._asked[number, asked_ns] = AsyncResult()
        self._crew.tell(number, "lab_clock", {"asked_ns": asked_ns})
        try:
            said, heard_ns, heard_wall_ns = waiting.get(timeout=_CALL_S)
        except gevent.Timeout:
            raise Stopped(
                f"worker {number} of {self._crew.count} does not answer; is its machine there?"
            ) from None
        ahead_ns, error_ns = _ahead(asked_ns, said["monotonic_ns"], heard_ns)
        wall_ns, wall_error_ns = _ahead(asked_wall_ns, said["wall_ns"], heard_wall_ns)
        return Offset(ahead_ns, wall_ns, max(error_ns, wall_error_ns))

    def _on_clock(self, environment: Environment, msg: Any, **_: Any) -> None:
        waiting = self._asked.pop((msg.data["number"], msg.data["asked_ns"]), None)
        if waiting is not None:  # else nobody waits for it any more
            waiting.set((msg.data, monotonic_ns(), time_ns()))


def _ahead(asked_ns: int, said_ns: int, heard_ns: int) -> tuple[int, int]:
    """How far ahead a clock is that said this between two moments of ours, and how sure that is."""
    half_ns = (heard_ns - asked_ns) // 2
    return said_ns - asked_ns - half_ns, half_ns + 1
