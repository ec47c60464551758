"""`python -m benchmarks.free_threaded --python python3.14t`: what a server gains from a second CPU
under a Python without the GIL, in two minutes.

The pool, on two CPUs, with handlers that compute (`--workload cpu:2ms`), at rates from 200 to 900 a
second: once under the lab's own Python, once under the one that is named. Threads that take turns
come to one CPU's worth, which is under 500 of such requests a second, however many CPUs there are;
threads that do not have up to twice that. With fewer than three CPUs the generator shares the
server's two, which costs the server a little of both.

Exit status 0 when the servers of `--python` ran without the GIL, 1 when they ran with it (then the
table shows two Pythons with it), 2 when it could not be run.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Mapping, Sequence

from benchmarks.common import lab_settings, print_table
from harness.core.errors import LabError
from harness.core.pythons import gil_words
from harness.core.record import Interpreter, Settings, Trial
from harness.core.units import microseconds
from harness.designs.trials import PlannedTrial
from harness.machine.cpus import CpuPlan
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.trial import run_trial
from harness.targets.arm import Arm
from harness.targets.interpreter import examine_python, servers_under
from harness.targets.server_code import ServerSource

RATES = (200.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0)
DURATION_S, WARMUP_S = 4.0, 0.5


def two_for_the_server() -> CpuPlan:
    """The server on two CPUs; the generator on another where there is one, else on the same."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise LabError("one CPU shows nothing here: threads that need not take turns would anyway")
    both = frozenset(cpus[:2])
    if len(cpus) == 2:
        return CpuPlan(both, both, both)
    return CpuPlan(both, frozenset(cpus[-1:]), frozenset(cpus[2:-1]) or both)


def measured(rps: float, source: ServerSource | None, settings: Settings, cpus: CpuPlan) -> Trial:
    """One trial of the pool. Raises `LabError` where it did not come to its end."""
    arm = Arm("thread-pool", 0, source=source)
    planned = PlannedTrial(arm, rps, 1, 0, settings.seed, settings.seed + 1)
    result = run_trial(planned, settings, cpus, raise_descriptor_limit())
    if result.failure is not None:
        raise LabError(result.failure)
    return result.trial


def table(found: Mapping[str, list[Trial]]) -> list[list[str]]:
    """A line for each rate: of each Python, answers in time a second, their p99, and CPUs used."""
    lines = []
    for trials in zip(*found.values(), strict=True):
        line = [f"{trials[0].rps:,.0f}"]
        for trial in trials:
            line += [f"{trial.client.achieved_rps:,.0f}", _p99(trial), _cpus(trial)]
        lines.append(line)
    return lines


def _p99(trial: Trial) -> str:
    p99 = trial.client.response_us.p99
    return "beyond" if p99 is None else microseconds(p99)


def _cpus(trial: Trial) -> str:
    """How many CPUs the server kept busy, over its window."""
    server = trial.server
    if server is None or server.window_s is None or server.cpu_us_per_request.total is None:
        return "-"
    busy_s = server.cpu_us_per_request.total * server.account.answered / 1e6
    return f"{busy_s / server.window_s:.2f}"


def run(
    python: str, rates: Sequence[float] = RATES, duration_s: float = DURATION_S
) -> tuple[Interpreter, dict[str, list[Trial]]]:
    """All trials, the two Pythons in turns at each rate. Raises `LabError`."""
    interpreter, cpus = examine_python(python), two_for_the_server()
    settings = lab_settings(
        rps=",".join(f"{rate:g}" for rate in rates), backends="thread-pool", rounds=1,
        duration_s=duration_s, warmup_s=WARMUP_S, servers={"workload": "cpu:2ms"},
    )  # fmt: skip
    found: dict[str, list[Trial]] = {"own": [], "other": []}
    with servers_under(python, interpreter) as source:
        for rps in rates:
            for name, servers in (("own", None), ("other", source)):
                print(f"{rps:,.0f} RPS, {name}", file=sys.stderr, flush=True)
                found[name].append(measured(rps, servers, settings, cpus))
    return interpreter, found


def ran_without_gil(trials: list[Trial]) -> bool:
    """Whether every server said, while it ran, that its GIL was off."""
    return all(t.server is not None and t.server.gil_enabled is False for t in trials)


def main() -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.free_threaded",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--python", required=True, help="by path, name or version: 3.14t")
    typed = parser.parse_args()
    try:
        interpreter, found = run(typed.python)
    except LabError as error:
        print(f"free_threaded: {error}", file=sys.stderr)
        return 2
    off, own_off = ran_without_gil(found["other"]), ran_without_gil(found["own"])
    own = f"CPython {platform.python_version()}\n{gil_words(not own_off)}"
    other = f"{interpreter.version}\n{gil_words(not off)}"
    print_table(
        f"thread-pool on two CPUs, cpu:2ms, {DURATION_S:g} s each: answers in time a second",
        ["RPS", own, "p99", "CPUs\nbusy", other, "p99", "CPUs\nbusy"],
        table(found),
    )
    if not off:
        by = interpreter.gil_enabled_by
        why = f": the import of {by} switched it on" if by else ""
        print(f"The servers of {typed.python} ran with the GIL{why}; name a build without it, as "
              "python3.14t, to see what that is worth.")  # fmt: skip
    return 0 if off else 1


if __name__ == "__main__":
    sys.exit(main())
