"""The life of one request as it is seen from outside: of a server that stamps no steps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from harness.core.record import Run, Trial
from harness.core.trials import comparable
from harness.core.units import microseconds
from harness.core.wording import slot_names
from harness.stats.intervals import location_estimate

OUTSIDE_SCHEMA = 1
Reading = Callable[[Trial], float | None]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a request: the median over the valid rounds, with its 95 % interval (None: too
    few rounds, or not known). `unit`: `us`, or `1` for a count."""

    name: str
    unit: str
    median: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


class OutsideLife(msgspec.Struct, frozen=True, kw_only=True):
    """A request's life in one server, as clients and the operating system see it."""

    name: str
    slot: int
    rounds: int
    parts: list[Part]

    def part(self, name: str) -> Part:
        """The figure of that name. Raises StopIteration."""
        return next(part for part in self.parts if part.name == name)


class OutsideAnatomy(msgspec.Struct, frozen=True, kw_only=True):
    """`labrun anatomy` of servers that are seen from outside."""

    schema: int
    run: str
    rps: float
    lives: list[OutsideLife]


def _service(name: str) -> Reading:
    return lambda trial: getattr(trial.client.service_us, name)


def _created_per_request(trial: Trial) -> float | None:
    """Births for each answer: those of a second over the switches' own denominator."""
    server = trial.server
    if server is None or server.context_switches.per_s is None:
        return None
    switches, created = server.context_switches, server.threads_created_per_s
    if created is None or not switches.per_s or switches.per_request is None:
        return None
    return created * switches.per_request / switches.per_s


# Name, unit, and where it is in a trial.
_PARTS: tuple[tuple[str, str, Reading], ...] = (
    ("connection", "us", lambda trial: trial.client.connect_us.p50),
    ("whole request, median", "us", _service("p50")),
    ("whole request, p99", "us", _service("p99")),
    (
        "CPU of the server",
        "us",
        lambda trial: None if trial.server is None else trial.server.cpu_us_per_request.total,
    ),
    (
        "context switches",
        "1",
        lambda trial: None if trial.server is None else trial.server.context_switches.per_request,
    ),
    ("threads and processes born", "1", _created_per_request),
)


def dissect_outside(run: Run, rps: float) -> OutsideAnatomy:
    """The lives of a run at one level, by slot."""
    names = slot_names(run.settings)
    lives = []
    for slot, name in enumerate(names):
        trials = [t for t in run.trials if (t.slot, t.rps) == (slot, rps) and comparable(t)]
        parts = [_part(called, unit, read, trials) for called, unit, read in _PARTS]
        lives.append(OutsideLife(name=name, slot=slot, rounds=len(trials), parts=parts))
    return OutsideAnatomy(schema=OUTSIDE_SCHEMA, run=run.id, rps=rps, lives=lives)


def _part(name: str, unit: str, read: Reading, trials: Sequence[Trial]) -> Part:
    values = [value for trial in trials if (value := read(trial)) is not None]
    found = location_estimate(values) if values else None
    if found is None:
        return Part(name=name, unit=unit)
    return Part(name=name, unit=unit, median=found.value, ci_low=found.low, ci_high=found.high)


def outside_finding(anatomy: OutsideAnatomy) -> str:
    """How much of a request is work of the server, a sentence for each."""
    told = []
    for life in anatomy.lives:
        whole, cpu = life.part("whole request, median"), life.part("CPU of the server")
        if whole.median is None:
            told.append(f"Of {life.name} nothing can be said: no valid round has an answer.")
        elif cpu.median is None:
            told.append(f"A request takes {life.name} {microseconds(whole.median)}.")
        else:
            told.append(
                f"A request takes {life.name} {microseconds(whole.median)}, and "
                f"{microseconds(cpu.median)} of CPU; what is not CPU is waiting: for a thread, for "
                "the CPU, for the network, in the handler."
                if cpu.median < whole.median
                else f"A request takes {life.name} {microseconds(whole.median)}, and "
                f"{microseconds(cpu.median)} of CPU: a part of its work is done beside or after "
                "the answer."
            )
    return " ".join(told)
