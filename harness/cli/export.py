"""`labrun export`: a run's figures in a format of others, on standard output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.core.errors import LabError


@command()
def export(
    run: Annotated[str, typer.Argument(help="A run: its folder or run.json.")],
    form: Annotated[
        str,
        typer.Option("--format", help="markdown, csv, junit, benchmark-action, openmetrics."),
    ] = "markdown",
) -> None:
    """Write a run's figures to standard output in a format of others.

    example: labrun export results/reference --format csv
    """
    from harness.reading.runs import load_run
    from harness.studies.regress.exports import FORMATS, run_text

    if form not in FORMATS:
        raise LabError(f"--format {form!r} is not known; take {', '.join(FORMATS)}")
    sys.stdout.write(run_text(load_run(Path(run)), form))
