"""Coverage and power on known truth: what was put in, and whether the interval has it."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import known_backends
from benchmarks.common import lab_settings, measured, print_table, run_trials
from benchmarks.kept import Kept, Line
from harness.core.errors import LabError
from harness.core.metrics import BLOCK_P99
from harness.core.record import Comparison, Run, Settings, metric_value
from harness.measure.run import RunResult
from harness.session.run import whole_run
from harness.studies.compare.blocks import blocks_that_count

CPU = "server.cpu_us_per_request.total"
_MODULE = "known_backends"
BACKENDS = f"{_MODULE}:Base,{_MODULE}:More"


def parse_case(case: str) -> tuple[str, float]:
    """`burn` and a share of a request's CPU, or `delay` and milliseconds. Raises `LabError`."""
    kind, _, text = case.partition(":")
    unit = {"burn": "%", "delay": "ms"}.get(kind, "")
    try:
        value = float(text.removesuffix(unit)) if unit and text.endswith(unit) else -1.0
    except ValueError:
        value = -1.0
    if not 0 < value < 1000:
        raise LabError(
            f"--known {case!r} is no case; take burn:3%, burn:10%, delay:2ms or the like"
        )
    return kind, value / 100 if kind == "burn" else value


@contextmanager
def backends(case: str, rps: str) -> Iterator[float]:
    """The two pools, where servers of this process find them; what was put in: microseconds of CPU,
    or milliseconds. Raises `LabError`."""
    kind, value = parse_case(case)
    if kind == "burn":
        plain = lab_settings(rps=rps, backends="thread-pool", rounds=3, duration_s=1.0)
        found = [measured(metric_value(trial, CPU)) for trial in run_trials(plain)]
        value = round(value * statistics.median(found), 2)
    name = known_backends.BURN_US if kind == "burn" else known_backends.DELAY_MS
    before = {key: os.environ.get(key) for key in ("PYTHONPATH", name)}
    with tempfile.TemporaryDirectory(prefix="known-") as folder:
        shutil.copy(known_backends.__file__, Path(folder) / f"{_MODULE}.py")
        paths = [folder, *filter(None, [before["PYTHONPATH"]])]
        os.environ |= {"PYTHONPATH": os.pathsep.join(paths), name: str(value)}
        sys.path.insert(0, folder)
        try:
            yield value
        finally:
            sys.path.remove(folder)
            for key, old in before.items():
                os.environ.pop(key, None) if old is None else os.environ.update({key: old})


def study(case: str, settings: list[Settings], kept: Kept, put_in: float) -> list[Line]:
    """The runs of a case: those on record, and the others as far as this step goes."""
    kind, _ = parse_case(case)
    lines = []
    for number, each in enumerate(settings, 1):
        line = kept.find(case, each)
        if line is None and kept.may_go_on():
            print(f"{case}, run {number} of {len(settings)}", file=sys.stderr, flush=True)
            result = whole_run(each, "benchmark")
            truth = (cpu_truth(result.run, put_in) if kind == "burn"
                     else delay_truth(compared_rows(result), put_in))  # fmt: skip
            line = kept.add(case, result.run, truth)
        if line is not None:
            lines.append(line)
    return lines


def cpu_truth(run: Run, burnt_us: float) -> dict[str, float]:
    """By how much a request of the second arm takes more CPU than one of the first in this run."""
    found = [metric_value(trial, CPU) for trial in run.trials if trial.slot == 0]
    base_us = statistics.median(measured(value) for value in found)
    return {CPU: 1 + burnt_us / base_us}


def compared_rows(result: RunResult) -> pd.DataFrame:
    """The requests of the first arm's blocks by which its p99 is compared."""
    first = [trial for trial in result.run.trials if trial.slot == 0]
    counts = {(t.round, block.pair) for t in first for block in blocks_that_count(t)}
    mine = result.requests[result.requests["slot"] == 0]
    return mine[[place in counts for place in zip(mine["round"], mine["block"], strict=True)]]


def delay_truth(requests: pd.DataFrame, delay_ms: float) -> dict[str, float]:
    """The ratio of the p99 of a typical block, had the first arm's own requests been delayed."""
    mine = requests[(requests["slot"] == 0) & (requests["outcome"] == "ok")]
    ratios: dict[Any, list[float]] = {}
    for (number, _), times in mine.groupby(["round", "block"])["response_us"]:
        base = np.sort(times.to_numpy(dtype=float))
        ratios.setdefault(number, []).append(_delayed_p99(base, delay_ms * 1e3) / _p99(base))
    return {BLOCK_P99: statistics.median(map(statistics.median, ratios.values()))}


def _p99(ordered: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.quantile(ordered, 0.99, method="inverted_cdf"))


def _delayed_p99(base: np.ndarray[Any, np.dtype[np.float64]], delay_us: float) -> float:
    """The p99 where a known share of these requests takes so much longer, whichever they are."""
    share = known_backends.DELAYED_SHARE
    times = np.concatenate([base, base + delay_us])
    weights = np.concatenate([np.full(len(base), 1 - share), np.full(len(base), share)])
    order = np.argsort(times, kind="stable")
    reached = np.cumsum(weights[order]) >= 0.99 * len(base) - 1e-9
    return float(times[order][np.argmax(reached)])


def covered(found: Comparison, truth: float) -> bool | None:
    """Whether the interval has the truth; None without an interval."""
    if found.ci_low is None or (found.ci_high is None and "ci_high" not in found.beyond):
        return None
    return found.ci_low <= truth and (found.ci_high is None or truth <= found.ci_high)


def show(case: str, lines: list[Line], wanted: int) -> None:
    """A row for each run, and how many intervals have what was put in."""
    rows, inside, worse, judged = [], 0, 0, 0
    for line in lines:
        for metric, truth in line.truth.items():
            found = next(c for c in line.comparisons if c.metric == metric)
            has = covered(found, truth)
            judged += has is not None
            inside += bool(has)
            worse += found.verdict == "worse"
            ends = [_number(v) for v in (found.ratio, found.ci_low, found.ci_high)]
            rows.append([str(line.settings.seed), f"{truth:.3f}", *ends,
                         {None: "no interval", True: "inside", False: "OUTSIDE"}[has],
                         found.verdict, line.busy or ""])  # fmt: skip
    print_table(f"{case}, {len(lines)} of {wanted} runs", ("seed", "put in", "ratio", "low", "high",
                "the truth is", "verdict", "beside it"), rows)  # fmt: skip
    print(f"{case}: inside in {inside} of {judged} (mark: 19 of 20), worse said in {worse}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
