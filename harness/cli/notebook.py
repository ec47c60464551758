"""`labrun notebook`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


@command()
def notebook(
    number: Annotated[int | None, typer.Argument(help="Which to open, 0 to 8.")] = None,
    folder: Annotated[
        str, typer.Option(help="Where the course goes; what you changed is kept.")
    ] = "metricstream-course",
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")
    ] = True,
) -> None:
    """Copy the course's notebooks here and open JupyterLab, which Ctrl-C ends.

    example: labrun notebook 3
    """
    from harness.commands.notebook import notebook_command

    raise typer.Exit(notebook_command(number, folder, open_it))
