"""`labrun doctor`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command
from harness.core.errors import LabError


@command()
def doctor(
    rps: Annotated[
        float | None, typer.Option(help="The rate that a run is to be sound at (10000; --aa 2000).")
    ] = None,
    duration: Annotated[
        float, typer.Option(help="Seconds of a trial at that rate; 0: look, and load nothing.")
    ] = 1.0,
    aa: Annotated[
        bool,
        typer.Option("--aa", help="How often equals are told apart here; some minutes, kept."),
    ] = False,
    runs: Annotated[
        int | None, typer.Option(help="With --aa: how many comparisons on record (5).")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="With --aa: where the runs are that quote it (results).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Findings as JSON, alone.")] = False,
) -> None:
    """Say what on this machine would spoil a measurement, and how to mend it.

    Exit status 1 when a run at that rate would not be sound.

    example: labrun doctor --rps 2000
    """
    from harness.commands.doctor import aa_command, doctor_command

    if aa:
        raise typer.Exit(aa_command(rps, runs, out))
    if runs is not None or out is not None:
        raise LabError("--runs and --out are for --aa; add it or leave them out")
    raise typer.Exit(doctor_command(10_000.0 if rps is None else rps, duration, json))
