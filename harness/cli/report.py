"""`labrun report`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


@command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="A run's folder; without one, the newest below results/.")
    ] = None,
    closed_loop: Annotated[
        str | None, typer.Option(help="The same, driven by a closed loop, to show beside it.")
    ] = None,
    capacity: Annotated[
        str | None, typer.Option(help="A run of labrun capacity, to show in it.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Another folder to write into.")] = None,
    docs: Annotated[
        bool, typer.Option("--docs", help="Renew the figures in README.md and docs/ instead.")
    ] = False,
) -> None:
    """Write report.html (one file, works offline) and report.md of a run.

    example: labrun report results/20261124T024814Z-compare
    """
    from harness.commands.report import docs_command, report_command

    if docs:
        raise typer.Exit(docs_command(run))
    raise typer.Exit(report_command(run, closed_loop, capacity, out))
