"""The judgement of a run in its folder: `claims.json`, written and read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.core.record import Run
from harness.store import load_beside_run, write_json
from harness.studies.claims.by_language import InCpp, judge_in_cpp
from harness.studies.claims.consistency import checks
from harness.studies.claims.judge import judge_about
from harness.studies.claims.records import CLAIMS_SCHEMA, Beside, Explored, Judged
from harness.studies.claims.scenario import departures, remarks

CLAIMS_FILE, EXPLORED_FILE = "claims.json", "explore.json"


def judged(
    run: Run, beside: Beside, native: InCpp | None = None, native_missing: str | None = None
) -> Judged:
    """The record of judging a run, and the servers in C++ that belong to it."""
    return Judged(
        schema=CLAIMS_SCHEMA,
        run=run.id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        departures=departures(run),
        beside=beside,
        judgements=judge_about(run, beside),
        checks=checks(),
        remarks=remarks(run),
        in_cpp=judge_in_cpp(native),
        native_missing=native_missing,
    )


def load_beside(folder: Path) -> Beside | None:
    """Figures measured beside the trials when the run in `folder` was last judged; None where it
    never was. Raises `LabError` when `claims.json` is there and cannot be read."""
    found = load_beside_run(
        folder / CLAIMS_FILE, Judged, CLAIMS_SCHEMA, "delete it and judge the run again"
    )
    return None if found is None else found.beside


def as_json(record: Judged | Explored) -> bytes:
    """As it is written: indented, one line end."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def save_judged(folder: Path, record: Judged) -> None:
    """`claims.json`, into the run's folder. Raises `LabError` when it cannot be written."""
    write_json(folder / CLAIMS_FILE, as_json(record))


def save_explored(folder: Path, record: Explored) -> None:
    """`explore.json`. Raises `LabError` when it cannot be written."""
    write_json(folder / EXPLORED_FILE, as_json(record))
