"""`labrun crossover`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import ANY_SERVER, BOTH, RUN, Budget, asks, backends_of, command


@command()
@asks(
    "warmup_s",
    *ANY_SERVER,
    *RUN,
    warmup_s=0.3,
    name="crossover",
    workload="io:40ms",
    help={
        "workload": "With --vary workers: what a handler does meanwhile (of a --server: what its "
        "handlers do, for the prediction)."
    },
)
def crossover(
    vary: Annotated[
        str, typer.Option(help="io: how long the handler waits; cpu: computes; workers: how many.")
    ] = "io",
    rps: Annotated[
        str | None, typer.Option(help="The loads at which to search, requests a second.")
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            help="Two: who gains as the handler takes longer, and the pool, which may be a "
            "--server with {workers} in its command.",
            show_default=BOTH,
        ),
    ] = None,
    slo: Annotated[
        str | None,
        typer.Option(help="The contender loses where it does not meet this: p99<=50ms."),
    ] = None,
    budget: Budget = 330.0,
    duration: Annotated[float, typer.Option(help="Seconds measured in each trial.")] = 2.0,
    *,
    typed: Any,
) -> None:
    """My handlers wait: how many workers? Where the two architectures change places.

    example: labrun crossover --vary workers --workload io:40ms --rps 400 --slo "p99<=60ms"
    """
    from harness.session.settings import CompareOptions
    from harness.session.study_options import crossover_loads, crossover_options

    options = CompareOptions(
        rps=rps or crossover_loads(vary),
        backends=backends_of(backends, typed),
        rounds=1,
        duration_s=duration,
        driver="open-loop",
        **typed,
    )
    settings, varied, conditions = crossover_options(options, vary, budget, slo)
    from harness.commands.searches import crossover_command

    raise typer.Exit(crossover_command(options, settings, varied, budget, slo, conditions))
