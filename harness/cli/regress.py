"""`labrun regress`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import ANY_SERVER, BOTH, DESIGN, asks, backends_of, command


@command()
@asks(
    "max_loss",
    "least",
    *DESIGN,
    *ANY_SERVER,
    "warmup_s",
    "workload",
    "workers",
    "seed",
    "out",
    "name",
    design="blocks",
    rounds=12,
    duration_s=1.5,
    warmup_s=0.5,
    name="regress",
    help={
        "max_loss": "METRIC=10%: fail beyond; METRIC=off. Repeatable.",
        "least": "METRIC=0.99: fail below. Repeatable.",
        "design": "blocks: old and new alive, in turns; trials: one after the other.",
        "rounds": "Old and new afresh so often; 12 are enough.",
        "duration_s": "Seconds of load for each in a round.",
        "out": "Where a measured run's folder goes.",
        "name": "The end of that folder's name.",
    },
)
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
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when the data cannot tell, too.")
    ] = False,
    form: Annotated[
        str,
        typer.Option("--format", help="table markdown csv junit benchmark-action openmetrics."),
    ] = "table",
    rps: Annotated[str, typer.Option(help="Target rates of --against-ref.")] = "2000",
    backends: Annotated[
        str | None,
        typer.Option(
            help="Backends of --against-ref, each old against new; module:Class in any repository.",
            show_default=BOTH,
        ),
    ] = None,
    build: Annotated[
        str | None,
        typer.Option(help="Run in both trees before --server is started there: 'make'."),
    ] = None,
    *,
    typed: Any,
) -> None:
    """Did it get worse? Two runs, or a commit against the working tree. Exit 1: it did.

    example: labrun regress --against-ref main --server 'app=./app --port {port}' --build make
    """
    from harness.session.settings import CompareOptions

    measure = CompareOptions(rps=rps, backends=backends_of(backends, typed), **typed)
    from harness.commands.regress import RegressOptions, regress_command

    options = RegressOptions(baseline, candidate, against_ref, strict, form, measure, build)
    raise typer.Exit(regress_command(options))
