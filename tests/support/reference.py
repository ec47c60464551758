"""One level of the reference run: a real run of both backends at 2,000 RPS, five whole rounds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import pandas as pd

from harness.core.record import Client, Run
from harness.reading.runs import load_run
from harness.store import REQUESTS_FILE, RUN_FILE, TIMELINE_FILE
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.compare.summary import only, run_finding

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
LEVEL, ROUNDS = 2000.0, 5


@cache
def reference_level() -> Run:
    """The record alone, whatever the design of the reference: its first five rounds, or restarts
    with their blocks taken together, judged as whole trials."""
    run = only(load_run(REFERENCE), LEVEL)
    replace = msgspec.structs.replace
    settings = replace(run.settings, design="trials", block_s=None, rounds=ROUNDS)
    trials = [
        replace(trial, blocks=[], client=_whole(trial.client))
        for trial in run.trials
        if trial.round <= ROUNDS
    ]
    run = replace(
        run,
        settings=settings,
        trials=trials,
        cells=build_cells(settings, trials),
        comparisons=build_comparisons(settings, trials),
        warnings=[],
    )
    return replace(run, finding=run_finding(run))


def _whole(client: Client) -> Client:
    return msgspec.structs.replace(
        client, block_response_us=None, block_start_ratio=None, block_curve_us=[],
        block_start_left_out=False,
    )  # fmt: skip


def write_reference_level(folder: Path) -> None:
    """The record and its raw rows, as a run's folder."""
    (folder / RUN_FILE).write_bytes(msgspec.json.encode(reference_level()))
    for name in (REQUESTS_FILE, TIMELINE_FILE):
        chosen = [("level", "==", LEVEL), ("round", "<=", ROUNDS)]
        rows = pd.read_parquet(REFERENCE / name, filters=chosen)
        rows.to_parquet(folder / name, index=False)
