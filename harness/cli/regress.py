"""`labrun regress`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import command
from harness.cli.options import ANY_SERVER, BOTH, asks, backends_of


@command()
@asks(
    *ANY_SERVER,
    "warmup_s",
    "workload",
    "workers",
    "seed",
    "out",
    "name",
    warmup_s=0.5,
    name="regress",
    help={
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
    design: Annotated[
        str, typer.Option(help="blocks: old and new alive, in turns; trials: one after the other.")
    ] = "blocks",
    rounds: Annotated[int, typer.Option(help="Old and new afresh so often; 12 are enough.")] = 12,
    duration: Annotated[float, typer.Option(help="Seconds of load for each in a round.")] = 1.5,
    block: Annotated[
        float | None, typer.Option(help="Seconds of load before it is the next one's turn (0.5).")
    ] = None,
    *,
    typed: Any,
) -> None:
    """Did it get worse? Two runs, or a commit against the working tree. Exit 1: it did.

    example: labrun regress --against-ref main --server 'app=./app --port {port}' --build make
    """
    from harness.session.settings import CompareOptions

    measure = CompareOptions(
        rps=rps,
        backends=backends_of(backends, typed),
        rounds=rounds,
        duration_s=duration,
        design=design,
        block_s=block,
        **typed,
    )
    from harness.commands.regress import RegressOptions, regress_command

    options = RegressOptions(
        baseline, candidate, against_ref, max_loss or [], least or [], strict, form, measure, build
    )
    raise typer.Exit(regress_command(options))
