"""One level of the reference run: a real run of both backends, five rounds at 2,000 RPS."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pandas as pd

from harness.core.record import Run
from harness.reading.runs import load_run
from harness.store import REQUESTS_FILE, RUN_FILE, TIMELINE_FILE
from harness.studies.compare.restrict import only

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
LEVEL = 2000.0


def reference_level() -> Run:
    """The record alone."""
    return only(load_run(REFERENCE), LEVEL)


def write_reference_level(folder: Path) -> None:
    """The record and its raw rows, as a run's folder."""
    (folder / RUN_FILE).write_bytes(msgspec.json.encode(reference_level()))
    for name in (REQUESTS_FILE, TIMELINE_FILE):
        rows = pd.read_parquet(REFERENCE / name, filters=[("level", "==", LEVEL)])
        rows.to_parquet(folder / name, index=False)
