"""The generator's process: `python -m harness.drivers.open_loop.worker`, started by the lab.

It reads one JSON line (`Order`) from standard input, runs the warm-up, writes `warm`, waits for
a line, runs the measured window, and writes one JSON line (`Summary`). It ends by itself when
standard input closes, which it does when the parent is gone. It imports neither NumPy nor
anything that draws or prints, so that it starts fast and stays small.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from time import monotonic_ns

import msgspec

from harness.drivers.open_loop.engine import Engine, Rules, Target
from harness.drivers.request_log import Ledger

_LEAD_NS = 5_000_000  # between starting the engine and the first intended time


class Order(msgspec.Struct, frozen=True):
    """What the parent asks for. Ledgers are descriptors that the process inherited."""

    host: str
    port: int
    requests: list[str]
    sources: list[str | None]
    timeout_ns: int
    max_in_flight: int
    closed_loop: bool
    own_cpu: bool
    cpus: list[int]
    warmup_fd: int | None
    measured_fd: int


class Summary(msgspec.Struct, frozen=True):
    """What the process cost over the measured window.

    `recorded`: how many requests each of several processes has in its account; `failure`: what is
    missing from it, in a sentence without a full stop.
    """

    window_ns: int
    cpu_ns: int
    involuntary_switches: int
    recorded: list[int] = []
    failure: str | None = None


def _cpu_ns() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


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


def run_ledger(order: Order, fd: int) -> bool:
    """Run one ledger to its end; False when the parent was gone before."""
    ledger = Ledger.attach(fd)
    target = Target(
        order.host, order.port, [text.encode("latin-1") for text in order.requests], order.sources
    )
    rules = Rules(order.timeout_ns, order.max_in_flight, order.closed_loop, order.own_cpu)
    engine = Engine(ledger, target, rules, watch_fd=0)
    engine.run(monotonic_ns() + _LEAD_NS)
    return not engine.parent_gone


def main() -> int:
    """Exit status 0, or 1 when the parent went away."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    if order.cpus:
        os.sched_setaffinity(0, order.cpus)
    if order.own_cpu:
        take_priority()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Sleeps of select() end within a nanosecond of the wish instead of 50 microseconds.
    with open("/proc/self/timerslack_ns", "w", encoding="ascii") as file:
        file.write("1")
    gc.collect()
    gc.disable()  # the engine makes no cycles, and a collection would make requests late
    if order.warmup_fd is not None and not run_ledger(order, order.warmup_fd):
        return 1
    print("warm", flush=True)
    if not sys.stdin.buffer.readline():
        return 1
    began_ns, cpu_ns = monotonic_ns(), _cpu_ns()
    if not run_ledger(order, order.measured_fd):
        return 1
    usage = resource.getrusage(resource.RUSAGE_SELF)
    summary = Summary(monotonic_ns() - began_ns, _cpu_ns() - cpu_ns, usage.ru_nivcsw)
    sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
