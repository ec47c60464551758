"""The commands that judge what was measured, or the machine: their options."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command
from harness.cli.typed import (
    Name,
    Out,
    Seed,
    Warmup,
    Workers,
    Workload,
)


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
    from harness.cli.report import docs_command, report_command

    if docs:
        raise typer.Exit(docs_command(run))
    raise typer.Exit(report_command(run, closed_loop, capacity, out))


@command()
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
    out: Out = "results",
    name: Name = "claims",
    json: Annotated[
        str | None, typer.Option(help="Write the verdicts there; - is standard output, alone.")
    ] = None,
) -> None:
    """Judge every claim of the design document by what is measured here.

    example: labrun claims results/reference
    """
    from harness.cli.claims_options import ClaimsOptions, claims_settings

    options = ClaimsOptions(run, explore, rps, rounds, duration, out, name, json)
    settings = claims_settings(options)
    if explore:
        from harness.cli.explore import explore_command

        raise typer.Exit(explore_command(options, settings))
    from harness.cli.claims import claims_command

    raise typer.Exit(claims_command(options, settings))


@command()
def regress(
    baseline: Annotated[
        str | None, typer.Argument(help="A run: its folder or run.json; not with --against-ref.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Argument(help="The run to judge; without it, one is measured now.")
    ] = None,
    against_ref: Annotated[
        str | None,
        typer.Option(help="Measure this commit and the working tree alternately, in one run."),
    ] = None,
    max_loss: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=10%: fail beyond; METRIC=off. Repeatable.", metavar="M=SHARE"),
    ] = None,
    least: Annotated[
        list[str] | None,
        typer.Option("--min", help="METRIC=0.99: fail below. Repeatable.", metavar="M=VALUE"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when the data cannot tell, too.")
    ] = False,
    form: Annotated[
        str,
        typer.Option("--format", help="table markdown csv junit benchmark-action openmetrics."),
    ] = "table",
    rps: Annotated[str, typer.Option(help="Target rates of --against-ref.")] = "2000",
    backends: Annotated[
        str, typer.Option(help="Backends of --against-ref, each old against new.")
    ] = "thread-per-request,thread-pool",
    rounds: Annotated[int, typer.Option(help="Old and new once each; 12 are enough.")] = 12,
    duration: Annotated[float, typer.Option(help="Seconds measured in each trial.")] = 1.5,
    warmup: Warmup = 0.5,
    workload: Workload = "ingest",
    workers: Workers = 16,
    seed: Seed = 1,
    out: Annotated[str, typer.Option(help="Where a measured run's folder goes.")] = "results",
    name: Annotated[str, typer.Option(help="The end of that folder's name.")] = "regress",
) -> None:
    """Did it get worse? Two runs, or a commit against the working tree. Exit 1: it did.

    example: labrun regress --against-ref HEAD~1 --max-loss client.response_us.p99=20%
    """
    from harness.session.settings import CompareOptions

    measure = CompareOptions(
        rps=rps,
        backends=backends,
        rounds=rounds,
        duration_s=duration,
        warmup_s=warmup,
        workload=workload,
        workers=workers,
        seed=seed,
        out=out,
        name=name,
    )
    from harness.cli.regress import RegressOptions, regress_command

    options = RegressOptions(
        baseline, candidate, against_ref, max_loss or [], least or [], strict, form, measure
    )
    raise typer.Exit(regress_command(options))


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
    from harness.cli.history import history_command

    raise typer.Exit(history_command(folder, out))


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
    from harness.cli.export import export_command

    raise typer.Exit(export_command(run, form))


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
    from harness.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(rps, duration, json))
