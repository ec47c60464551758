"""`labrun grade`: its options, and its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import command
from harness.core.checks import between

if TYPE_CHECKING:
    from harness.course.grading import Grades


@command()
def grade(
    folder: Annotated[str, typer.Argument(help="A learner's folder: metricstream-course.")],
    limit: Annotated[float, typer.Option(help="Seconds that each notebook may take.")] = 120.0,
    json: Annotated[
        str | None, typer.Option(help="Write the grades there too; - is standard output, alone.")
    ] = None,
) -> None:
    """Check all exercises of a learner's folder, in processes of their own, from recorded runs.

    The folder stays as it is. Exit status 1 when not all exercises are right.

    example: labrun grade metricstream-course
    """
    from harness.commands.compare import json_target, write_out
    from harness.course.grading import grade as graded
    from harness.terminal.output import Console

    between("--limit", limit, 1, 3600)
    target = json_target(json)
    messages = Console(stderr=True)
    with messages.status("") as status:
        found = graded(Path(folder), limit, status.update)
    if json != "-":
        show(found)
    write_out(found, json, target)
    raise typer.Exit(0 if found.right == len(found.exercises) else 1)


def show(found: Grades) -> None:
    """A line for each exercise and for each notebook that went wrong, and the sum."""
    from rich.table import Table

    from harness.terminal.output import Console

    table = Table("notebook", "exercise", "result", "remark")
    names = list(dict.fromkeys(graded.notebook for graded in found.exercises))
    troubles = {trouble.notebook: trouble.what for trouble in found.troubles}
    for name in dict.fromkeys([*names, *troubles]):
        if name in troubles:
            table.add_row(name.partition("-")[0], "", "", f"{name} {troubles[name]}")
        for one in found.exercises:
            missing = troubles.get(name) == "is missing"
            if one.notebook == name and not missing:
                table.add_row(name.partition("-")[0], one.exercise, one.result, one.remark)
    console = Console()
    console.print(table)
    console.print(f"{found.right} of {len(found.exercises)} exercises are right.")
