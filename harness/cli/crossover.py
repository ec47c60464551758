"""`labrun crossover`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command
from harness.cli.options import (
    Arrivals,
    Backlog,
    Budget,
    Clients,
    Json,
    LockStacks,
    MaxThreads,
    Name,
    Out,
    PythonPath,
    QueueSize,
    Seed,
    StackSize,
    SwitchInterval,
    Timeout,
    Warmup,
    Workers,
)


@command()
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
    warmup: Warmup = 0.3,
    clients: Clients = 100,
    timeout: Timeout = 1.0,
    arrivals: Arrivals = "poisson",
    workload: Annotated[
        str, typer.Option(help="With --vary workers: what a handler does meanwhile.")
    ] = "io:40ms",
    workers: Workers = 16,
    queue_size: QueueSize = 10_000,
    stack_size: StackSize = "2MiB",
    backlog: Backlog = 4096,
    lock_stacks: LockStacks = False,
    switch_interval: SwitchInterval = None,
    max_threads: MaxThreads = None,
    python: PythonPath = None,
    seed: Seed = 1,
    out: Out = "results",
    name: Name = "crossover",
    json: Json = None,
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
        warmup_s=warmup,
        clients=clients,
        timeout_s=timeout,
        arrivals=arrivals,
        workload=workload,
        driver="open-loop",
        workers=workers,
        queue_size=queue_size,
        stack_size=stack_size,
        backlog=backlog,
        lock_stacks=lock_stacks,
        switch_interval_s=switch_interval,
        seed=seed,
        out=out,
        name=name,
        json=json,
        max_threads=max_threads,
        python=python,
    )
    settings, varied = crossover_options(options, vary, budget)
    from harness.commands.crossover import crossover_command

    raise typer.Exit(crossover_command(options, settings, varied, budget))
