"""Runs read back, whatever version wrote them; and the run of the servers in C++ that belongs to
one: in its folder `native`, or itself."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.foreign import below_zero, read_json, short
from harness.core.record import SCHEMA_VERSION, Run
from harness.reading.plausible import contradiction, of_known_metrics
from harness.reading.upgrade import OLD_SCHEMAS, upgraded
from harness.store import PARTS, RUN_FILE
from harness.studies.claims.judgement import InCpp, in_cpp, load_beside
from harness.studies.claims.records import Beside

NATIVE_RUN = "native"


def load_run(path: Path) -> Run:
    """The record in a run's folder, or in a `run.json`; that of an earlier schema by the rules of
    this one (see `harness.reading.upgrade`). A run that was cut short has one too, with `complete`
    false. Raises `LabError` with what is wrong and what to do."""
    file = path / RUN_FILE if path.is_dir() else path
    try:
        found = read_json(file)
    except OSError as error:
        raise LabError(_unreadable(path, file, error)) from error
    except LabError as error:
        raise LabError(f"{file} is no whole run.json: {error}; make the run again") from error
    if not isinstance(found, dict) or "schema" not in found:
        raise LabError(f"{file} is no whole run.json: another program's file, or a damaged one")
    if found["schema"] not in (*OLD_SCHEMAS, SCHEMA_VERSION):
        raise LabError(
            f"{file} has schema {found['schema']!r:.40}; this lab reads up to {SCHEMA_VERSION}: "
            "read it with the version that made it, or make the run again"
        )
    try:
        return upgraded(_plausible(found))
    except LabError as error:
        raise LabError(f"{file} is no whole run.json: {error}; make the run again") from error


def read_runs(folder: Path) -> tuple[list[tuple[Path, Run]], list[str]]:
    """The runs below a folder, and a sentence for each that cannot be read.

    Reads only `run.json`. Raises `LabError` when there is none, or none that can be read.
    """
    if not folder.is_dir():
        raise LabError(f"there is no folder {folder}; name one that holds runs")
    files = sorted(folder.rglob(RUN_FILE))
    if not files:
        raise LabError(f"there is no run below {folder}; make some with labrun compare --out")
    found, left_out = [], []
    for file in files:
        try:
            found.append((file.parent, load_run(file.parent)))
        except LabError as error:
            left_out.append(str(error))
    if not found:
        raise LabError(f"no run below {folder} can be read; the first: {left_out[0]}")
    return found, left_out


def _plausible(found: dict[str, object]) -> Run:
    """The run that the data are. Raises `LabError` with what cannot be true of one."""
    try:
        run = msgspec.convert(found, Run)
    except msgspec.ValidationError as error:
        raise LabError(short(error)) from error
    negative = below_zero(found)
    wrong = contradiction(run) if negative is None else f"its {negative} is below 0"
    if wrong is not None:
        raise LabError(wrong)
    return of_known_metrics(run)


def _unreadable(path: Path, file: Path, error: OSError) -> str:
    """Why there is no run to read, in one sentence."""
    if not path.exists():
        return f"cannot read {path}: there is no such folder; name one below results/"
    if path.is_dir() and isinstance(error, FileNotFoundError):
        if (path / PARTS).is_dir():
            return (
                f"cannot read {file}: the run is incomplete, it ended before its first trial was "
                "saved; make it again"
            )
        return f"cannot read {file}: {path} is no run's folder; name one below results/"
    return f"cannot read {file}: {error.strerror}; is it a run's folder?"


def native_of(folder: Path, run: Run) -> InCpp | None:
    """None where nothing was served in C++. Raises `LabError` for what cannot be read."""
    inside = folder / NATIVE_RUN
    if (inside / RUN_FILE).exists():
        return InCpp(load_run(inside), load_beside(inside) or Beside())
    return None if in_cpp(run) is None else InCpp(run, Beside())
