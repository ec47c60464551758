"""`labrun anatomy`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import ANY_SERVER, asks, command


@command()
@asks(
    *ANY_SERVER,
    "lock_stacks",
    "out",
    "name",
    "json",
    name="anatomy",
    help={"json": "Write anatomy.json there too; - is standard output, alone."},
)
def anatomy(
    run: Annotated[
        str | None, typer.Argument(help="A run's folder to read; without one, a run is made.")
    ] = None,
    rps: Annotated[
        str | None, typer.Option(help="The rate (2000); of a run with several, which level.")
    ] = None,
    backends: Annotated[
        str | None, typer.Option(help="Whose requests (both built-in backends).")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds (5, which give an interval).")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds measured in each trial (2).")
    ] = None,
    *,
    typed: Any,
) -> None:
    """Show the life of one request, step by step, beside what the document says of it.

    example: labrun anatomy --rps 500
    """
    from harness.session.study_options import AnatomyOptions, anatomy_settings

    own = {name: typed.pop(name) for name in ANY_SERVER}
    options = AnatomyOptions(run, rps, rounds, duration, backends, any_server=own, **typed)
    settings = anatomy_settings(options)
    if settings.outside:
        from harness.commands.anatomy import outside_command

        raise typer.Exit(outside_command(options, settings))
    from harness.commands.anatomy import anatomy_command

    raise typer.Exit(anatomy_command(options, settings))
