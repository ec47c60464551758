"""Observation from outside, tried on our own two backends: `python -m benchmarks.outside`

First, whether it agrees with what the servers say of themselves: CPU, context switches, threads
born. Second, what it costs them: the CPU of a request while the server is looked at ten times a
second, while its switches and births are counted, and both, against a server whose keeper does
nothing. Rounds of all kinds in turns, each with a fresh server; some four minutes. What an ordinary
user gets: `setpriv --bounding-set -all --inh-caps -all python -m benchmarks.outside`
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import msgspec
import psutil

from benchmarks.common import lab_settings, measured, met, print_table
from harness.core.errors import LabError
from harness.core.record import Settings
from harness.drivers.driver import Load, LoadPhase, driver_of
from harness.machine.child_process import START_S
from harness.machine.cpus import CpuPlan, plan_cpus, process_cpu_s
from harness.machine.descriptors import raise_descriptor_limit
from harness.machine.outside.look import Look
from harness.machine.outside.observed import ObservedProcess, start_command
from harness.measure.run import out_of_the_way
from harness.stats.paired import paired_ratio
from harness.targets.arm import Arm
from harness.targets.control_client import ControlClient
from harness.targets.processes import ServerReady
from harness.targets.start import server_arguments
from servers.report import Report

# Whether events are counted, and whether it is looked at under load.
KINDS = {
    "keeper alone": (False, False),
    "looks at 10 Hz": (False, True),
    "switches, births": (True, False),
    "all of it": (True, True),
}
_STEP_S = 0.1
_END_S = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A load, from both sides: the server's reports, and the looks, around it. `keeper_share`: of
    one CPU, what the keeper used meanwhile."""

    inside: tuple[Report, Report]
    outside: tuple[Look, Look]
    keeper_share: float

    @property
    def answers(self) -> int:
        return self.inside[1].counters.answered - self.inside[0].counters.answered

    def cpu_ns(self) -> tuple[int, int]:
        """Inside, outside."""
        before, after = (report.process.cpu_us for report in self.inside)
        return (after - before) * 1000, self.grown("cpu_ns")

    def switches(self) -> tuple[int, int]:
        """Inside, outside."""
        before, after = (
            r.process.voluntary_switches + r.process.involuntary_switches for r in self.inside
        )
        return after - before, self.grown("switches")

    def births(self) -> tuple[int, int]:
        """Inside, outside."""
        before, after = (report.gauges.threads_created for report in self.inside)
        return after - before, self.grown("births")

    def grown(self, name: str) -> int:
        """Of a count of the looks. Raises `LabError` where it is not permitted here."""
        before, after = (getattr(look, name) for look in self.outside)
        if before is None or after is None:
            raise LabError(f"{name}: {self.outside[1].missing[name].reason}")
        return int(after - before)


def observe(
    backend: str, kind: str, settings: Settings, cpus: CpuPlan, seed: int, folder: Path
) -> Seen:
    """One load on a fresh server."""
    arguments = server_arguments(Arm(backend, 0), settings, cpus)
    program = [sys.executable, "-P", "-m", "servers", *arguments, "--port", "0"]
    log = folder / f"{backend}-{kind.replace(' ', '-')}-{seed}.log"
    with start_command(
        program, os.environ, None, log, cpus.server, cpus.observers, count_events=False
    ) as server:
        ready = _ready(server)
        with ControlClient(ready.control_host, ready.control_port) as client:
            seen = _load(server, ready, client, settings, cpus, seed, kind)
        server.stop(START_S)
    return seen


def _ready(server: ObservedProcess) -> ServerReady:
    """The server's first line. Raises `LabError` when it does not come."""
    until_s = monotonic() + START_S
    while monotonic() < until_s and server.alive():
        line, end, _ = server.log_path.read_bytes().partition(b"\n")
        if end:
            return msgspec.json.decode(line, type=ServerReady)
        sleep(0.02)  # files tell nobody when they grow
    raise LabError(f"the server did not start: {server.last_line()}")


def _load(
    server: ObservedProcess,
    ready: ServerReady,
    client: ControlClient,
    settings: Settings,
    cpus: CpuPlan,
    seed: int,
    kind: str,
) -> Seen:
    """Warm up, then look, load and look again."""
    count_events, looks = KINDS[kind]
    rps = settings.rps[0]
    sending = driver_of("open-loop").start(
        Load(
            targets=[(ready.host, ready.port)],
            warmup=[LoadPhase(0, rps, settings.warmup_s, seed)],
            measured=[LoadPhase(0, rps, settings.duration_s, seed + 1)],
            settings=settings, cpus=cpus, descriptors=raise_descriptor_limit(),
        )
    )  # fmt: skip
    keeper = psutil.Process(server.pid).ppid()
    with sending.process as generator:
        generator.must_say(settings.warmup_s + START_S)
        first = client.wait_until_idle(_END_S)
        if count_events:
            server.count_events(True)
        before = server.look()
        keeper_s, began_s = measured(process_cpu_s(keeper)), monotonic()
        generator.tell(b"go")
        while generator.wait_for_line(_STEP_S) is None:
            if looks:
                server.look()
        keeper_share = (measured(process_cpu_s(keeper)) - keeper_s) / (monotonic() - began_s)
        last, after = client.wait_until_idle(_END_S), server.look()
    return Seen((first, last), (before, after), keeper_share)


def agreement_rows(backend: str, seen: Sequence[Seen]) -> list[list[str]]:
    """Outside over inside, the median round and the worst, against the marks."""
    rows = []
    for name, mark in (("cpu_ns", 0.02), ("switches", 0.05), ("births", 0.0)):
        pairs = [getattr(one, name)() for one in seen]
        off = [abs(outside / inside - 1) if inside else float(outside) for inside, outside in pairs]
        inside, outside = pairs[off.index(max(off))]
        rows.append(
            [backend, name, f"{statistics.median(off):.2%}", f"{max(off):.2%}",
             f"{inside:,} / {outside:,}", f"{mark:.0%}", met(max(off), mark, True)]
        )  # fmt: skip
    return rows


def cost_rows(backend: str, seen: dict[str, list[Seen]]) -> list[list[str]]:
    """CPU of a request by kind of observation, against a keeper that does nothing."""
    rows = []
    each = {k: [one.cpu_ns()[1] / one.answers for one in found] for k, found in seen.items()}
    base = each["keeper alone"]
    for kind, found in each.items():
        share = statistics.median(one.keeper_share for one in seen[kind])
        row = [backend, kind, f"{statistics.median(found) / 1e3:.1f}"]
        if kind == "keeper alone":
            rows.append([*row, "", "", f"{share:.2%}", ""])
            continue
        ratio = paired_ratio(base, found, 0.95)
        assert ratio is not None
        low = "?" if ratio.low is None else f"{ratio.low - 1:+.2%}"
        high = "?" if ratio.high is None else f"{ratio.high - 1:+.2%}"
        mark = met(ratio.value - 1, 0.01, True) if kind == "looks at 10 Hz" else ""
        rows.append([*row, f"{ratio.value - 1:+.2%}", f"{low} to {high}", f"{share:.2%}", mark])
    return rows


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outside", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rps", type=float, default=2000.0)
    options = parser.parse_args()
    settings = lab_settings(
        rps=f"{options.rps:g}", duration_s=options.seconds, warmup_s=0.5, design="trials"
    )
    cpus, kinds = plan_cpus(), list(KINDS)
    seen: dict[str, dict[str, list[Seen]]] = {}
    with tempfile.TemporaryDirectory() as folder, out_of_the_way(cpus):
        for round_ in range(options.rounds):
            turned = kinds[round_ % len(kinds) :] + kinds[: round_ % len(kinds)]
            for backend in settings.backends:
                for kind in turned:
                    one = observe(backend, kind, settings, cpus, 2 * round_, Path(folder))
                    seen.setdefault(backend, {}).setdefault(kind, []).append(one)
    (way,) = {one.outside[1].switches_by for one in seen[settings.backends[0]]["all of it"]}
    print_table(
        f"Outside against inside at {options.rps:,.0f} RPS; switches by the kernel's {way}",
        ("", "", "off, median", "most", "inside / outside then", "mark", ""),
        [r for b, found in seen.items() for r in agreement_rows(b, found["all of it"])],
    )
    print_table(
        f"What observation costs the server at {options.rps:,.0f} RPS (mark of looks: 1 %)",
        ("", "", "CPU us a request", "more", "95 %", "keeper, of a CPU", ""),
        [
            row for b, found in seen.items()
            for row in cost_rows(b, {kind: found[kind] for kind in kinds})
        ],
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
