"""The bystanders of a server under measurement: kept out of its accounts, and told of.

The server counts them like anybody. So it is asked together with them, until both say the same of
how many of their requests are in progress; what they began and what became of it since the last
such moment is then known exactly, and is taken out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic, sleep

import msgspec

from harness.core.errors import LabError
from harness.core.record import BystanderKind, Requests, Settings
from harness.core.record import Bystanders as BystandersRecord
from harness.drivers.bystanders import BystanderConfig, Count, KindCount
from harness.drivers.payloads import THE_METRIC, request_text
from harness.machine.child_process import ChildProcess
from harness.machine.cpus import CpuPlan
from harness.targets.control_client import ControlClient
from harness.targets.processes import ServerReady
from servers.options import KEEP_ALIVE
from servers.report import Report

_OPEN_S = 90.0  # for all of them to be there
_ANSWER_S = 20.0
_LOOK_S = 0.01
_SETTLE_S = 10.0  # for a server to have taken up all that were opened
_UNSEEN_S = 0.5  # the same for one that cannot say so
RESERVED_DESCRIPTORS = 300  # of a server, for what it has besides


@dataclass(frozen=True, slots=True)
class Cost:
    """What a server uses, or what a connection costs it, in bytes and threads; None where that
    cannot be seen."""

    rss_bytes: float | None
    threads: float | None


class Bystanders(ChildProcess):
    """The bystanders of one server, which opens them; `cost` tells what it uses."""

    def __init__(
        self,
        host: str,
        port: int,
        settings: Settings,
        cpus: CpuPlan,
        cost: Callable[[], Cost],
        taken_up: Callable[[], int | None],
    ) -> None:
        """`taken_up`: how many connections the server has accepted so far, where it says so."""
        self._settings = settings
        self._cost, self._taken_up = cost, taken_up
        self._before = cost()
        self._accepted = taken_up()
        super().__init__("bystanders", [sys.executable, "-P", "-m", "harness.drivers.bystanders"])
        keeps = settings.connections == KEEP_ALIVE
        config = BystanderConfig(
            host,
            port,
            settings.slow_clients,
            settings.idle_connections,
            request_text(settings.request or THE_METRIC, f"{host}:{port}", "bystander", keeps),
            keeps,
            sorted(cpus.observers) if cpus.pinned else [],
        )
        self.tell(msgspec.json.encode(config))
        opened = self._said(_OPEN_S)
        self.each = self._per_connection(opened)

    def count(self, order: bytes = b"count") -> Count:
        """What there is of them so far. Raises `ProcessDied`."""
        self.tell(order)
        return self._said(_ANSWER_S)

    def agreed(self, ask: Callable[[], Report], timeout_s: float) -> tuple[Report, Count]:
        """The server's report at a moment at which nothing is in progress but what bystanders have
        begun, and their count then; or the last ones after `timeout_s`."""
        until_s, accepted = monotonic() + timeout_s, -1
        while True:
            before, report, after = self.count(), ask(), self.count()
            agree = before == after and report.counters.in_progress == after.in_progress
            # With the count of the last look: the kernel may hold more for it.
            if (agree and report.counters.accepted == accepted) or monotonic() > until_s:
                return report, after
            accepted = report.counters.accepted
            sleep(_LOOK_S)

    def record(self) -> BystandersRecord:
        """What became of them, and what each connection cost."""
        count = self.count()
        return BystandersRecord(
            slow=_kind(self._settings.slow_clients, count.slow),
            idle=_kind(self._settings.idle_connections, count.idle),
        )

    def _said(self, timeout_s: float) -> Count:
        return msgspec.json.decode(self.must_say(timeout_s), type=Count)

    def _per_connection(self, opened: Count) -> Cost:
        """What each connection costs the server, once it has taken up all."""
        number = opened.slow.connections + opened.idle.connections
        if self._accepted is None:
            sleep(_UNSEEN_S)
        until_s = monotonic() + _SETTLE_S
        while (
            self._accepted is not None
            and (now := self._taken_up()) is not None
            and now - self._accepted < number
            and monotonic() < until_s
        ):
            sleep(_LOOK_S)
        before, after = self._before, self._cost()
        return Cost(
            _each(before.rss_bytes, after.rss_bytes, number),
            _each(before.threads, after.threads, number),
        )


def attach(
    stack: ExitStack, ready: ServerReady, settings: Settings, cpus: CpuPlan, elsewhere: bool
) -> Bystanders | None:
    """The bystanders of a server that has a control port, all there; None where none are asked for.
    Raises `ProcessDied`."""
    if not settings.bystanders:
        return None
    keeps = settings.connections == KEEP_ALIVE
    with ControlClient(ready.control_host, ready.control_port, elsewhere=elsewhere) as control:

        def cost() -> Cost:
            report = control.report()
            return Cost(report.process.rss_bytes, report.gauges.threads_active)

        def taken_up() -> int | None:
            counters = control.report().counters
            return counters.connections if keeps else counters.accepted

        return stack.enter_context(
            Bystanders(ready.host, ready.port, settings, cpus, cost, taken_up)
        )


def _each(before: float | None, after: float | None, number: int) -> float | None:
    if before is None or after is None or not number:
        return None
    return max(0, after - before) / number


def _kind(asked: int, count: KindCount) -> BystanderKind | None:
    if not asked:
        return None
    return BystanderKind(
        asked=asked,
        connections=count.connections,
        refused=count.refused,
        answered_by_status=count.answered,
        unanswered=count.unanswered,
        open=count.open,
    )


def grown(before: Count, after: Count) -> Count:
    """What came between two counts."""
    return Count(_kind_grown(before.slow, after.slow), _kind_grown(before.idle, after.idle))


def _kind_grown(before: KindCount, after: KindCount) -> KindCount:
    return KindCount(
        after.connections - before.connections,
        after.refused - before.refused,
        after.begun - before.begun,
        {
            status: n - before.answered.get(status, 0)
            for status, n in after.answered.items()
            if n > before.answered.get(status, 0)
        },
        after.unanswered - before.unanswered,
        after.held_ns - before.held_ns,
        after.open - before.open,
    )


def together(counts: list[Count]) -> KindCount:
    """The sum of counts of different times, of both kinds."""
    kinds = [kind for count in counts for kind in (count.slow, count.idle)]
    statuses = {status for kind in kinds for status in kind.answered}
    return KindCount(
        sum(kind.connections for kind in kinds),
        sum(kind.refused for kind in kinds),
        sum(kind.begun for kind in kinds),
        {status: sum(k.answered.get(status, 0) for k in kinds) for status in sorted(statuses)},
        sum(kind.unanswered for kind in kinds),
        sum(kind.held_ns for kind in kinds),
        sum(kind.open for kind in kinds),
    )


def without(requests: Requests, theirs: KindCount) -> Requests:
    """The server's account without what bystanders began and what became of it. Those that ended
    without an answer are taken from each way of ending so, in turn."""
    left = theirs.unanswered
    ways = {}
    for way in ("timed_out", "reset", "abandoned"):
        there = getattr(requests, way)
        ways[way] = there - min(there, left)
        left -= min(there, left)
    statuses = {
        status: number
        for status, all_ in requests.answered_by_status.items()
        if (number := all_ - theirs.answered.get(status, 0))
    }
    held_s = requests.held_s
    return msgspec.structs.replace(
        requests,
        accepted=requests.accepted - theirs.begun,
        answered=requests.answered - sum(theirs.answered.values()),
        answered_by_status=statuses,
        held_s=None if held_s is None else held_s - theirs.held_ns / 1e9,
        **ways,
    )


def check_descriptors(settings: Settings, descriptors: int) -> None:
    """Raise `LabError` for more bystanders than a process may have descriptors."""
    asked = settings.slow_clients + settings.idle_connections
    most = descriptors - RESERVED_DESCRIPTORS
    if asked > most:
        named = " and ".join(
            f"{flag} {number}"
            for flag, number in (
                ("--slow-clients", settings.slow_clients),
                ("--idle-connections", settings.idle_connections),
            )
            if number
        )
        raise LabError(
            f"{named}: a server needs a descriptor for each, and {descriptors:,} are allowed, of "
            f"which {RESERVED_DESCRIPTORS} are for the rest; take {max(0, most):,} or fewer, or "
            f"raise the hard limit (ulimit -Hn {asked + RESERVED_DESCRIPTORS}, or LimitNOFILE)"
        )
