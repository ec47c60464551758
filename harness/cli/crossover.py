"""`labrun crossover`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import command
from harness.cli.options import RUN, Budget, asks


@command()
@asks(
    "warmup_s",
    *RUN,
    warmup_s=0.3,
    name="crossover",
    workload="io:40ms",
    help={"workload": "With --vary workers: what a handler does meanwhile."},
)
def crossover(
    vary: Annotated[
        str, typer.Option(help="io: how long the handler waits; cpu: computes; workers: how many.")
    ] = "io",
    rps: Annotated[
        str | None, typer.Option(help="The loads at which to search, requests a second.")
    ] = None,
    backends: Annotated[
        str, typer.Option(help="Two: who gains as the handler takes longer, and the pool.")
    ] = "thread-per-request,thread-pool",
    budget: Budget = 330.0,
    duration: Annotated[float, typer.Option(help="Seconds measured in each trial.")] = 2.0,
    *,
    typed: Any,
) -> None:
    """Find where the two architectures change places, and compare it with Little's law.

    example: labrun crossover --vary io --rps 500,1000,2000
    """
    from harness.session.searches import crossover_loads, crossover_options
    from harness.session.settings import CompareOptions

    options = CompareOptions(
        rps=rps or crossover_loads(vary),
        backends=backends,
        rounds=1,
        duration_s=duration,
        driver="open-loop",
        **typed,
    )
    settings, varied = crossover_options(options, vary, budget)
    from harness.commands.crossover import crossover_command

    raise typer.Exit(crossover_command(options, settings, varied, budget))
