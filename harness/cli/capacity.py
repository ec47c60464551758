"""`labrun capacity`: its options, and what it is called with."""

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
    Workload,
)


@command()
def capacity(
    slo: Annotated[
        str, typer.Option(help="The objective: success, p50, p90, p95, p99, p999, max.")
    ] = "success>=0.99,p99<=100ms",
    backends: Annotated[
        str, typer.Option(help="Whose capacity; ratios are to the first.")
    ] = "thread-per-request,thread-pool",
    budget: Budget = 220.0,
    duration: Annotated[
        float, typer.Option(help="Seconds measured in each trial; longer sees smaller overloads.")
    ] = 3.0,
    warmup: Warmup = 0.5,
    clients: Clients = 100,
    timeout: Timeout = 1.0,
    arrivals: Arrivals = "poisson",
    workload: Workload = "ingest",
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
    name: Name = "capacity",
    json: Json = None,
) -> None:
    """Find the highest rate that each backend sustains within an objective.

    example: labrun capacity --slo "success>=0.99,p99<=50ms" --workload io:40ms
    """
    from harness.session.searches import CAPACITY_RPS, capacity_options
    from harness.session.settings import CompareOptions

    options = CompareOptions(
        rps=CAPACITY_RPS,
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
    settings, conditions = capacity_options(options, slo, budget)
    from harness.commands.capacity import capacity_command

    raise typer.Exit(capacity_command(options, settings, slo, conditions, budget))
