"""`labrun doctor`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


@command()
def doctor(
    rps: Annotated[float, typer.Option(help="The rate that a run is to be sound at.")] = 10_000.0,
    duration: Annotated[
        float, typer.Option(help="Seconds of a trial at that rate; 0: look, and load nothing.")
    ] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Findings as JSON, alone.")] = False,
) -> None:
    """Say what on this machine would spoil a measurement, and how to mend it.

    Exit status 1 when a run at that rate would not be sound.

    example: labrun doctor --rps 2000
    """
    from harness.commands.doctor import doctor_command

    raise typer.Exit(doctor_command(rps, duration, json))
