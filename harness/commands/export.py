"""`labrun export`: a run's figures in a format of others, on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import LabError
from harness.reading.runs import load_run
from harness.studies.regress.exports import FORMATS, run_text


def export_command(run: str, form: str) -> int:
    """Write it; the exit status. Raises `LabError` for an unknown format or no run."""
    if form not in FORMATS:
        raise LabError(f"--format {form!r} is not known; take {', '.join(FORMATS)}")
    sys.stdout.write(run_text(load_run(Path(run)), form))
    return 0
