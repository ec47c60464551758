"""`labrun history`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


@command()
def history(
    folder: Annotated[str, typer.Argument(help="A folder with runs in it.")] = "results/history",
    out: Annotated[
        str | None,
        typer.Option(help="Where the graphs go (that folder; history/, if others are in it)."),
    ] = None,
) -> None:
    """Draw every headline figure over the commits, with its steps: PNG, SVG, one HTML page.

    example: labrun history results/history
    """
    from harness.commands.history import history_command

    raise typer.Exit(history_command(folder, out))
