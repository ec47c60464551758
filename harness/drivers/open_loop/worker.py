"""The generator's process: `python -m harness.drivers.open_loop.worker`, started by the lab.

It reads one JSON line (`GeneratorConfig`) from standard input, runs the warm-up of each target and
writes `warm`. Then, for each measured phase, it waits for a line, runs the phase, and writes one
JSON line (`Summary`). That line is `go`, or `go NS` with the window's start on the monotonic clock,
which several processes have in common. It ends by itself when standard input closes, which it does
when the parent is gone. It imports neither NumPy nor anything that draws or prints, so that it
starts fast and stays small.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic_ns

import msgspec

from harness.drivers.open_loop.engine import Engine, Rules, Target
from harness.drivers.open_loop.framed import FramedEngine
from harness.drivers.open_loop.kept import Connections, KeptEngine
from harness.drivers.request_log import RequestLog

_LEAD_NS = 5_000_000  # between starting the engine and the first intended time


class TargetConfig(msgspec.Struct, frozen=True):
    """One server: where it is, what each client sends to it, and from which address (None: the
    system's choice). `framed`: its responses end by their framing, since it may not be the one that
    closes; `expect`: the statuses that are then `ok`; `keeps`: connections stay, and responses end
    by their framing too."""

    host: str
    port: int
    requests: list[str]
    sources: list[str | None]
    framed: bool = False
    expect: list[int] = []
    keeps: bool = False


class Phase(msgspec.Struct, frozen=True):
    """Load for one target, by its place among them, as the request log behind a descriptor that the
    process inherited has it."""

    target: int
    fd: int


class GeneratorConfig(msgspec.Struct, frozen=True):
    """The parent's order: phases that are warm-up, one right after the other, and phases that
    are measured, each at a word."""

    targets: list[TargetConfig]
    warmup: list[Phase]
    measured: list[Phase]
    timeout_ns: int
    max_in_flight: int
    closed_loop: bool
    own_cpu: bool
    cpus: list[int]


class Opened(msgspec.Struct, frozen=True):
    """Connections that stay: how many were opened, how many requests went over one that was there,
    and how many of those were sent once more, since their server had closed it."""

    opened: int
    reused: int
    retried: int


class ProcessCost(msgspec.Struct, frozen=True):
    """What one of several processes took (0: it has no account), and how long after the window's
    common start it was ready. On another machine: its name, how far the clock there is ahead of the
    lab's, and within what that is known."""

    window_ns: int
    cpu_ns: int
    start_late_ns: int
    machine: str | None = None
    clock_ahead_ns: int | None = None
    clock_error_ns: int | None = None


class Summary(msgspec.Struct, frozen=True):
    """The process's own cost over one measured phase; of several processes the sums, and what each
    took (`processes`, in their order).

    `recorded`: how many requests each of several processes has in its account; `failure`: what is
    missing from it, in a sentence without a full stop. `closed_by_server`: how many connections the
    server had closed when the generator came to close them, after a response that ended by its
    framing; None where it is the server's to close. `connections`: where they stay.
    """

    window_ns: int
    cpu_ns: int
    involuntary_switches: int
    recorded: list[int] = []
    failure: str | None = None
    closed_by_server: int | None = None
    connections: Opened | None = None
    start_late_ns: int = 0
    processes: list[ProcessCost] = []


def summed(parts: Sequence[Summary], processes: list[ProcessCost]) -> Summary:
    """What several processes, or several phases, took together; `processes`: what each process
    took."""
    closed = [part.closed_by_server for part in parts if part.closed_by_server is not None]
    kept = [part.connections for part in parts if part.connections is not None]
    return Summary(
        window_ns=sum(part.window_ns for part in parts),
        cpu_ns=sum(part.cpu_ns for part in parts),
        involuntary_switches=sum(part.involuntary_switches for part in parts),
        closed_by_server=sum(closed) if closed and len(closed) == len(parts) else None,
        connections=Opened(
            sum(one.opened for one in kept),
            sum(one.reused for one in kept),
            sum(one.retried for one in kept),
        )
        if kept
        else None,
        processes=processes,
    )


def cpu_ns() -> int:
    """CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def _involuntary_switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def take_priority() -> bool:
    """Ask to be preferred to whatever else runs on this CPU; False where that is not allowed.

    An engine that spins has no credit with the scheduler: each kernel thread that wakes up on its
    CPU makes it wait for milliseconds. With autogroups `nice` counts within a session alone, and
    this process has a session of its own, so the group is what has to be raised.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write("-20")
    except PermissionError:
        return False
    except OSError:
        pass  # there are no autogroups here, so nice counts
    return True


@dataclass(frozen=True, slots=True)
class _Sent:
    """A target, and which engine sends to it: with `connections`, where they stay."""

    target: Target
    framed: bool
    connections: Connections | None

    def engine(self, log: RequestLog, rules: Rules, watch_fd: int) -> Engine:
        """A new engine for one phase."""
        if self.connections is not None:
            return KeptEngine(log, self.target, rules, watch_fd, self.connections)
        return (FramedEngine if self.framed else Engine)(log, self.target, rules, watch_fd)


def run_phase(
    phase: Phase, targets: list[_Sent], rules: Rules, start_ns: int | None = None
) -> Engine | None:
    """Run one phase to its end; None when the parent was gone before. `start_ns`: of the window, on
    the monotonic clock (None: at once)."""
    engine = targets[phase.target].engine(RequestLog.attach(phase.fd), rules, watch_fd=0)
    engine.run(monotonic_ns() + _LEAD_NS if start_ns is None else start_ns)
    return None if engine.parent_gone else engine


def measured(
    phase: Phase, targets: list[_Sent], rules: Rules, start_ns: int | None
) -> Summary | None:
    """Run one phase and say what it cost; None when the parent was gone before its end."""
    began_ns, used_ns, switches = monotonic_ns(), cpu_ns(), _involuntary_switches()
    engine = run_phase(phase, targets, rules, start_ns)
    if engine is None:
        return None
    return Summary(
        monotonic_ns() - began_ns,
        cpu_ns() - used_ns,
        _involuntary_switches() - switches,
        closed_by_server=engine.closed_by_server if isinstance(engine, FramedEngine) else None,
        connections=Opened(engine.opened, engine.reused, engine.retried)
        if isinstance(engine, KeptEngine)
        else None,
        start_late_ns=0 if start_ns is None else max(0, began_ns - start_ns),
    )


def main() -> int:
    """Exit status 0, or 1 when the parent went away."""
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=GeneratorConfig)
    if config.cpus:
        os.sched_setaffinity(0, config.cpus)
    if config.own_cpu:
        take_priority()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Sleeps of select() end within a nanosecond of the wish instead of 50 microseconds.
    with open("/proc/self/timerslack_ns", "w", encoding="ascii") as file:
        file.write("1")
    gc.collect()
    gc.disable()  # the engine makes no cycles, and a collection would make requests late
    rules = Rules(config.timeout_ns, config.max_in_flight, config.closed_loop, config.own_cpu)
    targets = [
        _Sent(
            Target(
                each.host,
                each.port,
                [text.encode("latin-1") for text in each.requests],
                each.sources,
                each.expect,
            ),
            each.framed,
            Connections() if each.keeps else None,
        )
        for each in config.targets
    ]
    if not all(run_phase(phase, targets, rules) for phase in config.warmup):
        return 1
    print("warm", flush=True)
    for phase in config.measured:
        words = sys.stdin.buffer.readline().split()
        if not words:
            return 1
        summary = measured(phase, targets, rules, int(words[1]) if len(words) > 1 else None)
        if summary is None:
            return 1
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
