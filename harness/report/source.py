"""The source of a report: a run's folder, read whole; nothing else, so that equal folders
give equal reports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_numeric_dtype

from harness.core.errors import LabError
from harness.core.record import Run
from harness.drivers.driver import driver_of
from harness.reading.runs import load_run, native_of
from harness.stats.weighted import WEIGHT, weights
from harness.store import REQUESTS_FILE, RUN_FILE, TIMELINE_FILE, read_rows
from harness.studies.anatomy.account import Anatomy, saved_anatomy
from harness.studies.claims.judgement import InCpp, load_beside
from harness.studies.claims.records import Beside
from harness.studies.compare.aa_control import find_control, read_controls
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.compare.summary import run_finding

if TYPE_CHECKING:
    from harness.studies.compare.time_charts import Measured

# Runs in a run's folder that belong to it: the same driven by a closed loop, and what each backend
# can take at most.
CLOSED_LOOP, CAPACITY = "closed-loop", "capacity"
_STAMP = re.compile(r"\d{8}T\d{6}Z-")
_REQUESTS = (
    "backend", "slot", "level", "round", "client", "intended_us",
    "lag_us", "connect_us", "response_us", "outcome",
)  # fmt: skip
_WORDS = {"backend", "outcome"}
_TIMELINE = (
    "slot", "level", "round", "t_ms", "threads_created", "threads_step_peak", "queue_step_max",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """The record of a run and its raw rows; `closed_loop`: the same run driven otherwise;
    `capacity`: a run of `labrun capacity`; `beside`: what `labrun claims` measured besides;
    `anatomy`: what `labrun anatomy` did; `native`: the servers in C++, under the same load."""

    run: Run
    requests: pd.DataFrame
    timeline: pd.DataFrame
    closed_loop: Measured | None = None
    capacity: Run | None = None
    beside: Beside | None = None
    anatomy: Anatomy | None = None
    native: InCpp | None = None


def newest_run(results: Path) -> Path:
    """The folder below `results` whose run began last. Raises `LabError` where there is none."""
    found = [file.parent for file in results.glob(f"*/{RUN_FILE}")]
    if not found:
        raise LabError(
            f"there is no run below {results}; make one (labrun compare) or name a run's folder"
        )
    # A folder's name begins with the time of its run; one that was renamed is older than those.
    return max(found, key=lambda path: (bool(_STAMP.match(path.name)), path.name))


def load_source(
    path: Path, closed_loop: Path | None = None, capacity: Path | None = None
) -> Source:
    """The run in a folder, with its rows and the runs that belong to it. Raises `LabError` with
    the reason when one is missing, cut short, corrupt or of another version."""
    run, requests = _load(path)
    run = with_control(run, _folder(path).parent)
    timeline = run_frame(_folder(path), TIMELINE_FILE, _TIMELINE, bool(run.trials))
    closed = closed_loop or _inside(path, CLOSED_LOOP)
    limit = capacity or _inside(path, CAPACITY)
    return Source(
        run,
        requests,
        timeline,
        None if closed is None else _closed_loop(closed),
        None if limit is None else _capacity(limit),
        load_beside(_folder(path)),
        saved_anatomy(_folder(path)),
        native_of(_folder(path), run),
    )


def _inside(path: Path, name: str) -> Path | None:
    folder = _folder(path) / name
    return folder if (folder / RUN_FILE).exists() else None


def _closed_loop(path: Path) -> Measured:
    from harness.studies.compare.time_charts import Measured

    closed = Measured(*_load(path))
    if not driver_of(closed.run.settings.driver).falls_behind:
        raise LabError(
            f"{path} was driven by {closed.run.settings.driver}, not by a closed loop; make one "
            "with labrun compare --driver closed-loop"
        )
    return closed


def _capacity(path: Path) -> Run:
    run = load_run(path)
    if run.capacity is None:
        raise LabError(f"{path} has no capacity in it; make one with labrun capacity")
    return run


def with_control(run: Run, results: Path) -> Run:
    """The run with the newest A/A data below `results` that match it: they may have been made
    after it. Without any that match, it keeps those that it was recorded with; or, where it has
    none, says why those that are there now do not match."""
    record = read_controls(results)
    if not run.comparisons or (record is None and run.control is not None):
        return run
    found = find_control(run, record)
    if found.mismatch is not None and run.control is not None and run.control.mismatch is None:
        return run
    return msgspec.structs.replace(run, control=found)


def settled(run: Run) -> Run:
    """A run that was killed before its end, with the cells and comparisons of what it has."""
    searched = run.capacity is not None or run.crossover is not None
    if run.cells or searched or not run.trials:
        return run
    run = msgspec.structs.replace(
        run,
        cells=build_cells(run.settings, run.trials),
        comparisons=build_comparisons(run.settings, run.trials),
    )
    return msgspec.structs.replace(run, finding=run_finding(run))


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _load(path: Path) -> tuple[Run, pd.DataFrame]:
    run = settled(load_run(path))
    requests = run_frame(_folder(path), REQUESTS_FILE, _REQUESTS, bool(run.trials))
    scheduled = sum(t.client.scheduled for t in run.trials)
    file = _folder(path) / REQUESTS_FILE
    if WEIGHT in requests and not _are_counts(requests[WEIGHT]):
        raise LabError(
            f"{file} has a column {WEIGHT} that does not count requests; take a folder as it was "
            "written"
        )
    stand_for = int(weights(requests).sum())
    if run.complete and stand_for != scheduled:
        raise LabError(
            f"{file} has rows for {stand_for:,} requests and the run scheduled {scheduled:,}: the "
            "two are not of one run; take a folder as it was written"
        )
    return run, requests


def _are_counts(weight: pd.Series[int]) -> bool:
    return pd.api.types.is_integer_dtype(weight.dtype) and bool((weight >= 1).all())


def run_frame(folder: Path, name: str, columns: tuple[str, ...], needed: bool) -> pd.DataFrame:
    """The rows of one kind; of a run that was killed, those of the trials that it had finished."""
    whole = folder / name
    parts = sorted((folder / ".parts").glob(f"{Path(name).stem}-*.parquet"))
    files = [whole] if whole.exists() else parts
    if not files:
        if needed:
            raise LabError(
                f"{folder} has no {name}; copy the run's folder whole, or measure again "
                "(labrun compare)"
            )
        return pd.DataFrame(columns=list(columns))
    try:
        frames = [read_rows(file) for file in files]
    except (OSError, pa.ArrowException) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise LabError(f"{files[0]} is cut short or no Parquet file ({why}); copy it again, or "
                       "measure again (labrun compare)") from error  # fmt: skip
    frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    missing = [column for column in columns if column not in frame.columns]
    if missing and len(frame.columns):
        raise LabError(
            f"{whole} lacks {', '.join(missing)}: it is not of this version of the lab; "
            "measure again (labrun compare)"
        )
    for column in set(columns) - _WORDS:
        if len(frame) and not is_numeric_dtype(frame[column]):
            raise LabError(
                f"{whole} has a column {column} without numbers: it is not of this lab; take a "
                "folder as it was written"
            )
    return frame if len(frame.columns) else pd.DataFrame(columns=list(columns))
