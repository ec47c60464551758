"""How often a check catches a known slowdown, and how often it accuses an unchanged backend.

    python -m benchmarks.regress_power --repeats 20
    python -m benchmarks.regress_power --repeats 20 --busy --cases none,spin:10%

Each check is what `labrun regress --against-ref` does: two trees of the same servers, one with a
fault in a copy of the pool, measured alternately and judged with the default thresholds, plus
0.5 % of resident memory and, as a floor, the number of threads. A share is of the CPU that a
request takes here, which the first trials measure. Marks: spin:10% caught in at least 9 of 10,
`none` accused in at most 1 of 20 (busy or not), `crash` and `reject` (60 % of the requests) caught
always, one check in under 3 minutes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic

import msgspec

import servers
from benchmarks.common import lab_settings, measured, print_table, run_trials
from harness.core.errors import LabError
from harness.core.record import Settings, Trial, metric_value
from harness.designs.trials import Planned
from harness.measure.run import run_experiment
from harness.measure.trial import Progress
from harness.store import RunFolder
from harness.studies.regress.against import SourcePlanner
from harness.studies.regress.sentences import sentence
from harness.studies.regress.thresholds import parse_thresholds
from harness.studies.regress.verdict import Verdict, judge_interleaved
from harness.targets.server_code import ServerSource, prepare

CASES = (
    "none", "spin:2%", "spin:5%", "spin:10%", "spin:20%", "sleep:10%", "lost-worker", "lock",
    "leak", "crash", "reject",
)  # fmt: skip
_BACKEND = "injected:Injected"
_MODULE = """
import os, random, threading, time
from dataclasses import replace
from servers.backend import Overloaded
from servers.thread_pool import ThreadPoolBackend

KIND, SECONDS = {kind!r}, {seconds!r}
LOCK, KEPT = threading.Lock(), []

class Injected(ThreadPoolBackend):
    name = "injected"

    def __init__(self, options, path, telemetry):
        if KIND == "lost-worker":
            options = replace(options, workers=options.workers - 1)
        super().__init__(options, path, telemetry)

    def dispatch(self, connection):
        if KIND == "reject" and random.random() < 0.6:
            raise Overloaded("a fault was injected", "queue_full")
        super().dispatch(connection)

    def handle(self, connection):
        if KIND == "spin":
            end_ns = time.thread_time_ns() + int(SECONDS * 1e9)
            while time.thread_time_ns() < end_ns:
                pass
        elif KIND == "sleep":
            time.sleep(SECONDS)
        elif KIND == "lock":
            with LOCK:
                time.sleep(SECONDS)
        elif KIND == "leak":
            KEPT.append(bytes(67))  # 100 bytes with the object's head
        elif KIND == "crash":
            KEPT.append(None)
            if len(KEPT) > 2000:
                os.abort()
        super().handle(connection)
"""


class Silent:
    """Nobody watches."""

    def trial_begins(self, planned: Planned, number: int, total: int) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def trial_ended(self, trial: Trial) -> None: ...


def main() -> int:
    """Print the table; 1 when a mark is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--duration", type=float, default=1.5)
    parser.add_argument("--rps", default="2000")
    parser.add_argument("--busy", action="store_true", help="a busy process beside it")
    asked = parser.parse_args()
    settings = lab_settings(
        rps=asked.rps, backends="thread-pool", rounds=asked.rounds, duration_s=asked.duration,
        warmup_s=0.5,
    )  # fmt: skip
    busy = None
    if asked.busy:
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        rows, met = study(settings, asked.cases.split(","), asked.repeats)
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()
    load = "busy process beside it" if asked.busy else "nothing beside it"
    columns = ["fault", "checks", "caught", "passed", "cannot tell", "longest", "caught by", "mark"]
    print_table(f"Checks of {asked.rounds} rounds, {load}", columns, rows)
    return 0 if met else 1


def study(settings: Settings, cases: list[str], repeats: int) -> tuple[list[list[str]], bool]:
    """A row a case, and whether every mark was met."""
    cpu_s = request_cpu_s(settings)
    print(f"a request takes {cpu_s * 1e6:.0f} µs of CPU here", file=sys.stderr)
    rows, met = [], True
    for case in cases:
        verdicts, longest_s = [], 0.0
        for seed in range(1, repeats + 1):
            began = monotonic()
            verdicts.append(check(msgspec.structs.replace(settings, seed=seed), case, cpu_s))
            longest_s = max(longest_s, monotonic() - began)
            print(f"{case} {seed}/{repeats}: {sentence(verdicts[-1])}", file=sys.stderr)
        counts = Counter(verdict.outcome for verdict in verdicts)
        by = Counter(c.metric for v in verdicts for c in v.checks if c.outcome == "fail")
        mark = "-"
        if case == "none":
            mark = "met" if counts["fail"] <= repeats / 20 else "MISSED"
        elif case in ("crash", "reject"):
            mark = "met" if counts["fail"] == repeats else "MISSED"
        elif case == "spin:10%":
            mark = "met" if counts["fail"] >= 0.9 * repeats and longest_s < 180 else "MISSED"
        met = met and mark != "MISSED"
        rows.append(
            [case, str(repeats), str(counts["fail"]), str(counts["pass"]),
             str(counts["inconclusive"]), f"{longest_s:.0f} s",
             ", ".join(f"{name} {n}" for name, n in by.most_common(3)), mark]
        )  # fmt: skip
    return rows, met


def request_cpu_s(settings: Settings) -> float:
    """CPU seconds of a request of the unchanged pool."""
    trials = run_trials(msgspec.structs.replace(settings, rounds=3))
    found = [metric_value(t, "server.cpu_us_per_request.total") for t in trials]
    return sorted(measured(value) for value in found)[1] / 1e6


def check(settings: Settings, case: str, cpu_s: float) -> Verdict:
    """One check of a faulty tree against a sound one. Raises `LabError` when it cannot be run."""
    thresholds = parse_thresholds(
        ["server.memory.rss_peak_bytes=0.5%"], [f"server.threads_peak={settings.workers}"]
    )
    with tempfile.TemporaryDirectory(prefix="power-") as scratch:
        folder = Path(scratch)
        sources = [
            tree(folder / "old", "none", cpu_s), tree(folder / "new", case, cpu_s)
        ]  # fmt: skip
        paired = msgspec.structs.replace(settings, backends=[_BACKEND, _BACKEND])
        run_folder = RunFolder.create(folder, "power")
        result = run_experiment(
            paired, run_folder, "benchmarks.regress_power", Silent(),
            SourcePlanner(paired, sources),
        )  # fmt: skip
        if result.interrupted:
            raise KeyboardInterrupt
        verdict = judge_interleaved(result.run, thresholds)
        if verdict.cut is not None and verdict.cut.side != "candidate":
            raise LabError(f"a check failed: {result.run.incomplete_reason}")
        return verdict


def tree(folder: Path, case: str, cpu_s: float) -> ServerSource:
    """A copy of the servers with a fault in it."""
    kind, _, share = case.partition(":")
    if case not in CASES and kind not in ("spin", "sleep"):
        raise LabError(f"there is no case {case!r}; take some of {', '.join(CASES)}")
    seconds = float(share.removesuffix("%") or 0) / 100 * cpu_s if share else 200e-6
    source = Path(servers.__file__).parent
    shutil.copytree(source, folder / "servers", ignore=shutil.ignore_patterns("__pycache__"))
    module = _MODULE.format(kind=kind, seconds=seconds)
    (folder / "injected.py").write_text(module, encoding="utf-8")
    return prepare(ServerSource(folder.name, folder), folder)


if __name__ == "__main__":
    raise SystemExit(main())
