"""The commands that measure: their options. What they do is imported when they are called."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command
from harness.cli.typed import (
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
def compare(
    rps: Annotated[
        str, typer.Option(help="Target rates, requests a second: 2000 or 500,2000,10000.")
    ] = "2000",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="The document's levels: 500,1000,2000,5000,10000.")
    ] = False,
    backends: Annotated[
        str, typer.Option(help="Baseline and contender; twice the same is a control (A/A).")
    ] = "thread-per-request,thread-pool",
    rounds: Annotated[
        int, typer.Option(help="Each backend once, in alternating order; 5 give an interval.")
    ] = 5,
    duration: Annotated[float, typer.Option(help="Seconds measured in each trial.")] = 5.0,
    warmup: Warmup = 1.0,
    clients: Clients = 100,
    timeout: Timeout = 1.0,
    arrivals: Arrivals = "poisson",
    workload: Workload = "ingest",
    driver: Annotated[
        str, typer.Option(help="open-loop; closed-loop or locust: what most tools leave out.")
    ] = "open-loop",
    users: Annotated[
        int | None, typer.Option(help="Locust's users (100), who share the rate: --clients.")
    ] = None,
    user_class: Annotated[
        str | None,
        typer.Option(help="Locust: socket, or fast (FastHttpUser): what does its client cost?"),
    ] = None,
    locust_workers: Annotated[
        int | None, typer.Option(help="Locust: processes that the users are in; one is the limit?")
    ] = None,
    expect_workers: Annotated[
        int | None, typer.Option(help="Locust: wait for so many labrun locust-worker.")
    ] = None,
    master: Annotated[
        str | None, typer.Option(help="Where those find this lab (0.0.0.0:5557, every address).")
    ] = None,
    worker_wait: Annotated[
        float | None, typer.Option(help="Seconds to wait for them (60).")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a labrun serve elsewhere: the network is in the figures."),
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="HOST:PORT of its control port; the token: LABRUN_TOKEN.")
    ] = None,
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
    name: Name = "compare",
    json: Json = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the response times in the terminal too.")
    ] = False,
    bare: Annotated[
        bool, typer.Option("--bare", help="Record and rows alone; labrun report draws them later.")
    ] = False,
) -> None:
    """Measure backends side by side at one rate or several.

    example: labrun compare --rps 500,2000 --rounds 7 --json -
    """
    from harness.session.settings import CompareOptions, make_settings

    options = CompareOptions(
        rps="500,1000,2000,5000,10000" if sweep else rps,
        backends=backends,
        rounds=rounds,
        duration_s=duration,
        warmup_s=warmup,
        clients=clients,
        timeout_s=timeout,
        arrivals=arrivals,
        workload=workload,
        driver=driver,
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
        plot=plot,
        bare=bare,
        target=target,
        control=control,
        expect_workers=expect_workers,
        master=master,
        worker_wait_s=worker_wait,
        max_threads=max_threads,
        python=python,
        users=users,
        user_class=user_class,
        locust_workers=locust_workers,
    )
    settings = make_settings(options)
    from harness.cli.compare import compare_command

    raise typer.Exit(compare_command(options, settings))


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
    from harness.cli.searches import CAPACITY_RPS, capacity_options
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
    from harness.cli.capacity import capacity_command

    raise typer.Exit(capacity_command(options, settings, slo, conditions, budget))


@command()
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
    lock_stacks: LockStacks = False,
    out: Out = "results",
    name: Name = "anatomy",
    json: Annotated[
        str | None, typer.Option(help="Write anatomy.json there too; - is standard output, alone.")
    ] = None,
) -> None:
    """Show the life of one request, step by step, beside what the document says of it.

    example: labrun anatomy --rps 500
    """
    from harness.cli.anatomy_options import AnatomyOptions, anatomy_settings

    options = AnatomyOptions(run, rps, rounds, duration, backends, lock_stacks, out, name, json)
    settings = anatomy_settings(options)
    from harness.cli.anatomy import anatomy_command

    raise typer.Exit(anatomy_command(options, settings))


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
    from harness.cli.searches import crossover_loads, crossover_options
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
    from harness.cli.crossover import crossover_command

    raise typer.Exit(crossover_command(options, settings, varied, budget))
