"""`python -m benchmarks.soak --minutes 5`: good load mixed with every fault, then the accounts.

The lab's own open-loop generator sends good requests at a steady rate while other clients
misbehave. In the end every good request must have been answered, the server's counters must add
up, and descriptors, threads and memory must be back where they were. Exit status 0 when all of
that holds, 1 when not, 2 when it could not be run. That fewer could be sent than should have been
is the machine's affair, and told. `--switch-interval 0.000001` has threads take turns at almost
every step of the interpreter, so that what two of them do to one number shows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass

import msgspec
import psutil

from benchmarks.faults import FaultyClients
from harness.core.errors import LabError
from harness.drivers import request_log as L
from harness.drivers.open_loop.driver import source_address
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.open_loop.worker import GeneratorConfig, Phase, TargetConfig
from harness.drivers.payloads import BODY
from harness.drivers.schedule import make_schedule, request_log_of
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import plan_cpus
from harness.machine.family import Family, family_of
from harness.targets.control_client import ControlClient
from harness.targets.processes import ServerProcess
from servers.rate_limit import MAX_CLIENTS
from servers.report import Counters

BACKENDS = ("thread-per-request", "thread-pool", "event-loop", "prefork")
CLIENTS = MAX_CLIENTS + 2_000  # more than the server remembers: its table must reach its bound
WARM_UP_S = 2.0
# A good request may have to wait for workers that slow clients hold, 5 s at most.
TIMEOUT_S = 30.0
RETURN_S = 30.0  # for lingering connections to be closed, 2 s, on a busy machine
# Stage times of the newest quarter of a million requests (8 MB), the table of clients (4 MB), and
# what the allocator keeps of the arenas of threads that have ended.
MEMORY_TOLERANCE_BYTES = 48 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a server holds of the machine, in all of its processes. Memory in bytes, resident."""

    descriptors: int
    threads: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        seen = Family(pid).look()
        descriptors = sum(psutil.Process(each).num_fds() for each in family_of(pid))
        return cls(descriptors, seen.threads, seen.rss_bytes)


@dataclass(frozen=True, slots=True)
class Result:
    """One backend's soak. `outcomes` are those of the good requests, by the generator's account."""

    backend: str
    outcomes: dict[str, int]
    faults: dict[str, int]
    counters: Counters
    before: Footprint
    after: Footprint
    exit_status: int

    @property
    def unsent(self) -> int:
        return self.outcomes.get("unsent", 0)

    @property
    def sent(self) -> int:
        return sum(self.outcomes.values()) - self.unsent

    @property
    def answered(self) -> int:
        """Good requests that got a response, whichever."""
        return sum(self.outcomes.get(name, 0) for name in ("ok", "rejected", "http_error"))

    @property
    def lost(self) -> int:
        return self.sent - self.answered

    def complaints(self) -> list[str]:
        """What does not hold, in sentences; empty when all does."""
        before, after, counters = self.before, self.after, self.counters
        growth = after.memory - before.memory
        checks = [
            (self.lost == 0, f"{self.lost} of {self.sent} good requests were lost"),
            (self.faults.get("hung", 0) == 0, f"{self.faults.get('hung')} faults met no end"),
            (counters.in_progress == 0, f"the counters are {counters.in_progress} off"),
            # Processes that share a table have it in sets, of which some are not quite full.
            (bool(self.unsent) or 0.9 * MAX_CLIENTS < counters.clients_tracked <= MAX_CLIENTS,
             f"{counters.clients_tracked} clients are tracked instead of {MAX_CLIENTS}"),
            (after.descriptors <= before.descriptors,
             f"descriptors went from {before.descriptors} to {after.descriptors}"),
            (after.threads <= before.threads,
             f"threads went from {before.threads} to {after.threads}"),
            (growth <= MEMORY_TOLERANCE_BYTES,
             f"memory grew by {growth:,} bytes, over {MEMORY_TOLERANCE_BYTES:,}"),
            (self.exit_status == 0, f"the server ended with status {self.exit_status}"),
        ]  # fmt: skip
        return [sentence for holds, sentence in checks if not holds]


def soak(
    backend: str,
    seconds: float,
    rps: float,
    faults_per_s: float,
    options: list[str],
    warm_up_s: float = WARM_UP_S,
) -> Result:
    """Run one backend, its server started with `options`. Raises `LabError` or `ProcessDied`."""
    with ServerProcess([backend, *options]) as server:
        pid, port = server.ready.pid, server.ready.port
        logs = [steady_log(rps, warm_up_s), steady_log(rps, seconds)]
        with (
            GeneratorProcess(generator_config(port, *logs)) as generator,
            ControlClient("127.0.0.1", server.ready.control_port, timeout_s=60.0) as control,
        ):
            generator.must_say(warm_up_s + TIMEOUT_S + 90)
            control.wait_until_idle(5.0)
            before = Footprint.of(pid)
            faulty = FaultyClients(port, faults_per_s)
            faulty.start()
            try:
                generator.tell(b"go")
                generator.must_say(seconds + TIMEOUT_S + 90)
            finally:
                faulty.stop()
            report = control.wait_until_idle(RETURN_S)
            after = returned(pid, before)
            status = server.drain()
        outcomes = outcomes_of(logs[1])
        for log in logs:
            log.close()
    return Result(
        backend, outcomes, dict(faulty.committed), report.counters,
        before, after, status,
    )  # fmt: skip


def steady_log(rps: float, seconds: float) -> L.RequestLog:
    """A request log of `rps` requests a second at equal gaps, from all clients in turn."""
    return request_log_of(make_schedule(rps, seconds, CLIENTS, "constant", seed=1))


def generator_config(port: int, warmup: L.RequestLog, measured: L.RequestLog) -> GeneratorConfig:
    """What the generator is to do: each client has a name of its own."""
    requests = [
        f"POST /metrics HTTP/1.1\r\nHost: soak\r\nX-Client-Id: client-{client}\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
        for client in range(CLIENTS)
    ]
    sources = [source_address(client % 200, "127.0.0.1") for client in range(CLIENTS)]
    return GeneratorConfig(
        targets=[TargetConfig("127.0.0.1", port, requests, sources)],
        warmup=[Phase(0, warmup.fd)],
        measured=[Phase(0, measured.fd)],
        timeout_ns=int(TIMEOUT_S * 1e9),
        max_in_flight=8_000,
        closed_loop=False,
        own_cpu=False,
        cpus=[],
    )


def outcomes_of(log: L.RequestLog) -> dict[str, int]:
    """How many requests of each outcome."""
    counts = Counter(code % L.DETAIL for code in log.column(L.CODE))
    return {L.OUTCOME_NAMES[code]: count for code, count in sorted(counts.items())}


def returned(pid: int, before: Footprint) -> Footprint:
    """The server's footprint once it is back, or after `RETURN_S`."""
    end_s = time.monotonic() + RETURN_S
    while True:
        now = Footprint.of(pid)
        back = now.descriptors <= before.descriptors and now.threads <= before.threads
        if back or time.monotonic() > end_s:
            return now
        time.sleep(0.05)


def table(results: list[Result]) -> str:
    """One column a backend."""
    mib = 1024 * 1024
    rows: list[tuple[str, list[str]]] = [
        ("", [r.backend for r in results]),
        ("good requests sent", [f"{r.sent:,}" for r in results]),
        ("  answered", [f"{r.answered:,}" for r in results]),
        ("  of these 202", [f"{r.outcomes.get('ok', 0):,}" for r in results]),
        ("  lost", [f"{r.lost:,}" for r in results]),
        ("faults", [f"{sum(r.faults.values()):,}" for r in results]),
        ("server: accepted", [f"{r.counters.accepted:,}" for r in results]),
        ("  = answered", [f"{r.counters.answered:,}" for r in results]),
        ("  + timed out", [f"{r.counters.timed_out:,}" for r in results]),
        ("  + reset by client", [f"{r.counters.reset:,}" for r in results]),
        ("  + abandoned", [f"{r.counters.abandoned:,}" for r in results]),
        ("deadlines missed", [f"{r.counters.deadlines_missed:,}" for r in results]),
        ("handler errors", [f"{r.counters.handler_errors:,}" for r in results]),
        ("clients tracked", [f"{r.counters.clients_tracked:,}" for r in results]),
        ("descriptors", [f"{r.before.descriptors} -> {r.after.descriptors}" for r in results]),
        ("threads", [f"{r.before.threads} -> {r.after.threads}" for r in results]),
        ("resident memory, MiB",
         [f"{r.before.memory / mib:.1f} -> {r.after.memory / mib:.1f}" for r in results]),
    ]  # fmt: skip
    return "\n".join(name.ljust(22) + "".join(c.rjust(22) for c in cells) for name, cells in rows)


def main() -> int:
    """Exit status 0, 1 when something does not hold, 2 when it could not be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for each backend (default 5)")
    parser.add_argument("--backend", action="append", help="default: all")
    parser.add_argument("--switch-interval", metavar="S",
                        help="of the servers' interpreter (default: Python's)")  # fmt: skip
    parser.add_argument("--rps", type=float, default=3000.0, help="good load (default 3000)")
    parser.add_argument("--faults", type=float, default=1500.0, metavar="PER_S",
                        help="faults a second to aim at (default 1500)")  # fmt: skip
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, metavar="S",
                        help="good load before the first look (default 2)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the accounts as JSON instead")
    found = parser.parse_args()
    plan = plan_cpus()
    os.sched_setaffinity(0, plan.generator)  # of this process, and of the generator that it starts
    options = ["--cpus=" + ",".join(map(str, sorted(plan.server)))]
    if found.switch_interval is not None:
        options.append(f"--switch-interval={found.switch_interval}")
    results = []
    for backend in found.backend or BACKENDS:
        try:
            results.append(soak(
                backend, found.minutes * 60, found.rps, found.faults, options, found.warm_up
            ))  # fmt: skip
        except (LabError, ProcessDied) as error:
            print(f"python -m benchmarks.soak: {error}", file=sys.stderr)
            return 2
    if found.json:
        print(json.dumps([account(result) for result in results]))
    else:
        print(table(results))
    for result in results:
        if result.unsent:
            print(f"{result.backend}: {result.unsent} requests could not be sent", file=sys.stderr)
    complaints = [f"{r.backend}: {sentence}" for r in results for sentence in r.complaints()]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def account(result: Result) -> dict[str, object]:
    """A result for programs."""
    return {
        "backend": result.backend,
        "sent": result.sent,
        "answered": result.answered,
        "lost": result.lost,
        "outcomes": result.outcomes,
        "faults": result.faults,
        "counters": msgspec.to_builtins(result.counters),
        "before": asdict(result.before),
        "after": asdict(result.after),
    }


if __name__ == "__main__":
    sys.exit(main())
