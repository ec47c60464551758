"""`labrun export`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


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
    from harness.commands.export import export_command

    raise typer.Exit(export_command(run, form))
