"""The judgement of a run in its folder: `claims.json`, written and read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.claims.itself import checks
from harness.claims.judge import judge_run
from harness.claims.records import CLAIMS_SCHEMA, Beside, Explored, Judged
from harness.claims.scenario import departures
from harness.errors import LabError
from harness.record import Run
from harness.store import write_json

CLAIMS_FILE, EXPLORED_FILE = "claims.json", "explore.json"


def judged(run: Run, beside: Beside) -> Judged:
    """The record of judging a run."""
    return Judged(
        schema=CLAIMS_SCHEMA,
        run=run.id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        departures=departures(run),
        beside=beside,
        judgements=judge_run(run, beside=beside),
        checks=checks(),
    )


def load_beside(folder: Path) -> Beside | None:
    """What was measured beside the trials when the run in `folder` was last judged; None where it
    never was. Raises `LabError` when `claims.json` is there and cannot be read."""
    file = folder / CLAIMS_FILE
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Judged)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LabError(
            f"{file} is no whole record of claims: {error}; delete it and judge the run again"
        ) from error
    if found.schema != CLAIMS_SCHEMA:
        raise LabError(
            f"{file} has schema {found.schema}; this lab reads {CLAIMS_SCHEMA}: "
            "delete it and judge the run again"
        )
    return found.beside


def as_json(record: Judged | Explored) -> bytes:
    """As it is written: indented, one line end."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def save_judged(folder: Path, record: Judged) -> None:
    """`claims.json`, into the run's folder. Raises `LabError` when it cannot be written."""
    write_json(folder / CLAIMS_FILE, as_json(record))


def save_explored(folder: Path, record: Explored) -> None:
    """`explore.json`. Raises `LabError` when it cannot be written."""
    write_json(folder / EXPLORED_FILE, as_json(record))
