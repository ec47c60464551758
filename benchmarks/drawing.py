"""How long does a `--sweep` take to draw? `python -m benchmarks.drawing`

The rows are SYNTHETIC: as many as `labrun compare --sweep` leaves (about a million), with times
from a random generator. They are for timing alone and say nothing about any server. A process of
its own reads them, draws every chart and writes the report; its time and its peak memory are taken
from the operating system. Exit status 1 when a mark is missed.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import lab_settings, met, print_table
from harness.core.record import SCHEMA_VERSION, Kernel, Run, Settings, Trial
from harness.designs.trials import PlannedTrial, plan_trials
from harness.drivers import request_log as L
from harness.drivers.schedule import make_schedule, request_log_of
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment
from harness.measure.build_trial import build_trial
from harness.measure.request_rows import copy_rows, requests_frame
from harness.store import RunFolder

MARK_S, MARK_MIB = 15.0, 1024.0
SWEEP = "500,1000,2000,5000,10000"
_TIMELINE = (
    "threads_created", "threads_active", "threads_step_peak", "threads_seen_by_os", "queue_depth",
    "queue_step_max", "accepted", "cpu_us", "context_switches", "rss_bytes", "vms_bytes",
)  # fmt: skip


def synthetic_trial(
    planned: PlannedTrial, settings: Settings
) -> tuple[Trial, pd.DataFrame, pd.DataFrame]:
    """A trial with made-up times, in the shape of a real one."""
    log = request_log_of(
        make_schedule(
            planned.rps, settings.duration_s, settings.clients, settings.arrivals, planned.seed
        )
    )
    random = np.random.default_rng(planned.seed + planned.slot)

    def column(index: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.frombuffer(log.column(index), dtype=np.int64)

    size, intended = log.rows, column(L.INTENDED)
    sent = intended + random.integers(2_000, 90_000, size)
    connected = sent + random.integers(20_000, 60_000, size)
    ended = connected + random.lognormal(12 + planned.slot / 4, 0.8, size).astype(np.int64)
    for index, values in ((L.ALLOWED, intended), (L.SENT, sent), (L.CONNECTED, connected),
                          (L.ENDED, ended), (L.CODE, L.OK + L.DETAIL * 202)):  # fmt: skip
        column(index)[:] = values
    rows = copy_rows(log)
    log.close()
    kernel = Kernel(listen_overflows=0, listen_drops=0, retransmits=0, time_wait_peak=0)
    trial = build_trial(planned, "", settings.duration_s, rows, None, kernel, None, None)
    steps = int(settings.duration_s * 10)
    timeline = pd.DataFrame(
        {"backend": planned.backend, "slot": planned.slot, "level": planned.rps,
         "round": planned.round, "t_ms": (np.arange(steps) + 1) * 100}
        | {name: random.integers(1, 200, steps) for name in _TIMELINE}
    )  # fmt: skip
    return trial, requests_frame(planned, rows), timeline


def make_run(out: Path) -> tuple[Path, int]:
    """A synthetic run's folder below `out`, and how many rows it has."""
    settings = lab_settings(rps=SWEEP)
    folder = RunFolder.create(out, "SYNTHETIC-for-timing-only")
    trials = []
    for planned in plan_trials(settings):
        trial, requests, timeline = synthetic_trial(planned, settings)
        folder.add_trial(requests, timeline)
        trials.append(trial)
    requests, _ = folder.finish()
    run = Run(
        schema=SCHEMA_VERSION, id=folder.id, created="", complete=True,
        command="python -m benchmarks.drawing", environment=read_environment(plan_cpus()),
        settings=settings, trials=trials, cells=[], comparisons=[],
        warnings=["these rows are SYNTHETIC, for timing only"],
    )  # fmt: skip
    folder.save(run)
    return folder.path, len(requests)


def draw(folder: Path) -> None:
    """What the end of `labrun compare --sweep` does: sum up, draw every chart, write the report."""
    from harness.report import write_report
    from harness.report.charts import draw_all
    from harness.report.source import load_source

    began = time.monotonic()
    source = load_source(folder)  # sums up too: the synthetic record has no cells yet
    loaded = time.monotonic()
    draw_all(source.run, source.requests, source.timeline, folder / "charts")
    drawn = time.monotonic()
    page, _ = write_report(source, folder)
    written = time.monotonic()
    print(
        f"read and summed up {loaded - began:.1f} s, charts {drawn - loaded:.1f} s, "
        f"report {written - drawn:.1f} s, report.html {page.stat().st_size / 1e6:.2f} MB"
    )


def main() -> int:
    """Exit status 0, or 1 when a mark is missed."""
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as out:
        folder, size = make_run(Path(out))
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "benchmarks.drawing", str(folder)], check=True)
        took_s = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak_mib, cpu_s = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
    rows = [
        ["time", f"{took_s:.1f} s", f"{MARK_S:g} s", met(took_s, MARK_S, True)],
        ["of it on a CPU", f"{cpu_s:.1f} s", "", ""],
        ["peak memory", f"{peak_mib:.0f} MiB", f"{MARK_MIB:g} MiB", met(peak_mib, MARK_MIB, True)],
    ]
    title = f"Analysing and drawing {size:,} SYNTHETIC rows, start of the process included"
    print_table(title, ("", "reached", "mark", ""), rows)
    return 0 if took_s <= MARK_S and peak_mib <= MARK_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
