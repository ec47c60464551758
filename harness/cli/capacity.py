"""`labrun capacity`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import ANY_SERVER, BOTH, RUN, Budget, asks, backends_of, command


@command()
@asks("warmup_s", *ANY_SERVER, *RUN, warmup_s=0.5, name="capacity")
def capacity(
    slo: Annotated[
        str, typer.Option(help="The objective: success, p50, p90, p95, p99, p999, max.")
    ] = "success>=0.99,p99<=100ms",
    backends: Annotated[
        str | None,
        typer.Option(help="Whose capacity; ratios are to the first.", show_default=BOTH),
    ] = None,
    budget: Budget = 220.0,
    duration: Annotated[
        float, typer.Option(help="Seconds measured in each trial; longer sees smaller overloads.")
    ] = 3.0,
    *,
    typed: Any,
) -> None:
    """Find the highest rate that each backend, or any server, sustains within an objective.

    example: labrun capacity --slo "success>=0.99,p99<=50ms" --workload io:40ms
    """
    from harness.session.settings import CompareOptions
    from harness.session.study_options import CAPACITY_RPS, capacity_options

    options = CompareOptions(
        rps=CAPACITY_RPS,
        backends=backends_of(backends, typed),
        rounds=1,
        duration_s=duration,
        driver="open-loop",
        **typed,
    )
    settings, conditions = capacity_options(options, slo, budget)
    from harness.commands.searches import capacity_command

    raise typer.Exit(capacity_command(options, settings, slo, conditions, budget))
