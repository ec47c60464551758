"""The run of the servers in C++ that belongs to a run: in its folder `native`, or itself."""

from __future__ import annotations

from pathlib import Path

from harness.core.record import Run
from harness.reading.runs import load_run
from harness.store import RUN_FILE
from harness.studies.claims.judgement import InCpp, in_cpp, load_beside
from harness.studies.claims.records import Beside

NATIVE_RUN = "native"


def native_of(folder: Path, run: Run) -> InCpp | None:
    """None where nothing was served in C++. Raises `LabError` for what cannot be read."""
    inside = folder / NATIVE_RUN
    if (inside / RUN_FILE).exists():
        return InCpp(load_run(inside), load_beside(inside) or Beside())
    return None if in_cpp(run) is None else InCpp(run, Beside())
