"""How long `labrun history` takes for 500 runs (mark: under 5 s).

python -m benchmarks.history_speed
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

import msgspec
from numpy.random import default_rng

from benchmarks.common import met, print_table
from harness.core.record import CellMetric, Comparison, Run
from harness.reading.runs import load_run
from harness.store import RunFolder
from harness.studies.compare.summary import only
from harness.views.style import nearest_level

RUNS = 500
MARK_S = 5.0


def main() -> int:
    """Print the time; 1 when it misses the mark."""
    with tempfile.TemporaryDirectory(prefix="history-") as scratch:
        run = load_run(Path("results/reference"))
        make_runs(only(run, nearest_level(run)), Path(scratch))
        began = monotonic()
        command = [sys.executable, "-P", "-m", "harness.cli", "history", scratch]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took_s = monotonic() - began
    row = [str(RUNS), f"{took_s:.1f} s", f"{MARK_S:g} s", met(took_s, MARK_S, at_most=True)]
    print_table("labrun history", ["runs", "took", "mark", ""], [row])
    return int(took_s > MARK_S)


def make_runs(run: Run, folder: Path) -> None:
    """Runs like `run`, with every figure a little different."""
    noise = default_rng(1)

    def vary(metric: CellMetric) -> CellMetric:
        factor = float(noise.lognormal(0, 0.05))
        scaled = {
            name: None if value is None else value * factor
            for name in ("median", "ci_low", "ci_high")
            if isinstance(value := getattr(metric, name), float | None)
        }
        return msgspec.structs.replace(metric, **scaled)

    def vary_ratio(found: Comparison) -> Comparison:
        ratio = None if found.ratio is None else found.ratio * float(noise.lognormal(0, 0.05))
        return msgspec.structs.replace(found, ratio=ratio)

    for number in range(RUNS):
        target = folder / f"{number:04}"
        target.mkdir()
        cells = [
            msgspec.structs.replace(c, metrics={k: vary(m) for k, m in c.metrics.items()})
            for c in run.cells
        ]
        RunFolder(target).save(
            msgspec.structs.replace(
                run, id=target.name, cells=cells, comparisons=[*map(vary_ratio, run.comparisons)]
            )
        )


if __name__ == "__main__":
    raise SystemExit(main())
