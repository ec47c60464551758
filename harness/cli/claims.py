"""`labrun claims`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import asks, command


@command()
@asks(
    "out",
    "name",
    "json",
    name="claims",
    help={"json": "Write the verdicts there; - is standard output, alone."},
)
def claims(
    run: Annotated[
        str | None,
        typer.Argument(help="A run's folder to judge (only read); without one, a run is made."),
    ] = None,
    explore: Annotated[
        bool, typer.Option("--explore", help="Search conditions under which a claim would hold.")
    ] = False,
    rps: Annotated[
        str | None, typer.Option(help="Levels (500,1000,2000,5000,10000; --explore: 2000,5000).")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds (5, which give an interval).")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds measured in each trial (1.5; --explore: 1).")
    ] = None,
    native: Annotated[
        bool | None,
        typer.Option(
            "--native/--no-native",
            help="Measure the servers in C++ too (of a run that is there: into its folder native).",
        ),
    ] = None,
    *,
    typed: Any,
) -> None:
    """Judge every claim of the design document by what is measured here.

    example: labrun claims results/reference
    """
    from harness.session.study_options import ClaimsOptions, claims_settings

    options = ClaimsOptions(run, explore, rps, rounds, duration, native=native, **typed)
    settings = claims_settings(options)
    if explore:
        from harness.commands.claims import explore_command

        raise typer.Exit(explore_command(options, settings))
    from harness.commands.claims import claims_command

    raise typer.Exit(claims_command(options, settings))
