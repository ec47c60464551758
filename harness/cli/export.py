"""`labrun export`: a run's figures in a format of others, on standard output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.core.errors import LabError
from harness.terminal.output import complain

GALLERY, TRACE = "gallery", "trace"


@command()
def export(
    run: Annotated[str, typer.Argument(help="A run: its folder or run.json.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="markdown, csv, junit, benchmark-action, openmetrics; gallery; or trace.",
        ),
    ] = "markdown",
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="RUN is a gallery file, or a folder of them: is it as it must?"
        ),
    ] = False,
) -> None:
    """Write a run's figures to standard output in a format of others. The format gallery is for
    others to see: figures and the kind of machine, no names of hosts, users, paths or commands.

    example: labrun export results/reference --format gallery
    """
    from harness.gallery.export import gallery_text
    from harness.reading.runs import load_run
    from harness.studies.regress.exports import FORMATS, run_text

    others = (GALLERY, TRACE)
    if form not in (*FORMATS, *others):
        raise LabError(f"--format {form!r} is not known; take {', '.join((*FORMATS, *others))}")
    if check:
        if form not in ("markdown", GALLERY):
            raise LabError(f"--check is about gallery files; leave --format {form} out")
        check_gallery(Path(run))
    elif form == TRACE:
        sys.stdout.write(trace_text(Path(run)))
    elif form == GALLERY:
        sys.stdout.write(gallery_text(load_run(Path(run))))
    else:
        sys.stdout.write(run_text(load_run(Path(run)), form))


def trace_text(path: Path) -> str:
    """A traced run in the Trace Event format, for Perfetto. Raises `LabError`."""
    from harness.report.trace import load_trace, trace_events

    return trace_events(load_trace(path)).decode()


def check_gallery(path: Path) -> None:
    """A line for each gallery file; one for each that is none on standard error, and status 2."""
    from harness.gallery.reading import entry_words, gallery_files, read_entry

    refused = 0
    for file in gallery_files(path):
        try:
            print(f"{file}: {entry_words(read_entry(file))}")
        except LabError as error:
            complain(str(error))
            refused += 1
    if refused:
        raise typer.Exit(2)
