"""The command `labrun`. Heavy imports wait until a command needs them: --help must be quick."""

from __future__ import annotations

import signal
import sys
from importlib import metadata
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from harness.cli.typed import (
    Arrivals,
    Backlog,
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
from harness.errors import LabError

app = typer.Typer(
    name="labrun",
    help="Thread per request or thread pool? Two servers, one open-loop load generator, and "
    "figures that can be defended.\n\nexample: labrun compare --rps 2000",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"labrun {metadata.version('metricstream-lab')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
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
) -> None:
    """Measure backends side by side at one rate or several.

    example: labrun compare --rps 500,2000 --rounds 7 --json -
    """
    from harness.cli.settings import CompareOptions, make_settings

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


@app.command()
def capacity(
    slo: Annotated[
        str, typer.Option(help="The objective: success, p50, p90, p95, p99, p999, max.")
    ] = "success>=0.99,p99<=100ms",
    backends: Annotated[
        str, typer.Option(help="Whose capacity; ratios are to the first.")
    ] = "thread-per-request,thread-pool",
    budget: Annotated[float, typer.Option(help="Seconds that the whole may take.")] = 220.0,
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
    from harness.cli.settings import CompareOptions

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


@app.command()
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


@app.command()
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
    budget: Annotated[float, typer.Option(help="Seconds that the whole may take.")] = 330.0,
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
    from harness.cli.settings import CompareOptions

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


@app.command()
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


@app.command()
def claims(
    run: Annotated[
        str | None, typer.Argument(help="A run's folder to judge; without one, a run is made.")
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


@app.command()
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
    from harness.cli.settings import CompareOptions

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


@app.command()
def history(
    folder: Annotated[str, typer.Argument(help="A folder with runs in it.")] = "results/history",
    out: Annotated[
        str | None, typer.Option(help="Where the graphs go (default: the same folder).")
    ] = None,
) -> None:
    """Draw every headline figure over the commits, with its steps: PNG, SVG, one HTML page.

    example: labrun history results/history
    """
    from harness.cli.history import history_command

    raise typer.Exit(history_command(folder, out))


@app.command()
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


@app.command()
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


@app.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def serve(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run one server by hand, as `python -m servers` does.

    example: labrun serve thread-pool --port 8080
    """
    from servers.__main__ import main as serve_main

    raise typer.Exit(serve_main(arguments or ["--help"], prog="labrun serve"))


@app.command("locust-worker")
def locust_worker(
    master: Annotated[
        str, typer.Option(help="HOST or HOST:PORT of the lab: its --master as seen from here.")
    ],
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for a trial; after that many this ends.")
    ] = 60.0,
) -> None:
    """Be one of the workers that a labrun compare --expect-workers waits for.

    example: labrun locust-worker --master 10.0.0.5
    """
    from harness.cli.locust_worker import worker_command

    raise typer.Exit(worker_command(master, wait))


@app.command()
def locust(
    backend: Annotated[str, typer.Argument(help="Which server to start.")] = "thread-pool",
    web_port: Annotated[
        int, typer.Option(help="Port of the page, on loopback; 0: any that is free.")
    ] = 8089,
    user_class: Annotated[
        str, typer.Option(help="socket, or fast (Locust's FastHttpUser).")
    ] = "socket",
    workload: Workload = "ingest",
    workers: Workers = 16,
) -> None:
    """Start a server and Locust's web page on it; Ctrl-C ends both.

    example: labrun locust thread-per-request --web-port 0
    """
    from harness.cli.locust import LocustOptions, locust_command

    raise typer.Exit(
        locust_command(LocustOptions(backend, web_port, user_class, workload, workers))
    )


@app.command()
def notebook(
    number: Annotated[int | None, typer.Argument(help="Which to open, 0 to 8.")] = None,
    folder: Annotated[
        str, typer.Option(help="Where the course goes; what you changed is kept.")
    ] = "metricstream-course",
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")
    ] = True,
) -> None:
    """Copy the course's notebooks here and open JupyterLab.

    example: labrun notebook 3
    """
    from harness.cli.notebook import notebook_command

    raise typer.Exit(notebook_command(number, folder, open_it))


@app.command()
def backends() -> None:
    """List the backends that can be named.

    example: labrun backends
    """
    from servers.registry import available

    for name, target in sorted(available().items()):
        print(f"{name:<22} {target}")
    print("module:Class           a backend of your own, from the current folder or installed")


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 a check failed, 2 bad usage or no run, 130 interrupted."""
    if sys.platform != "linux":
        print("labrun: Linux or WSL2 is needed, for epoll and /proc", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _terminate)  # to be told to end is to be interrupted
    try:
        status = app(argv, standalone_mode=False)
    except TyperException as error:
        sentence = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"labrun: {sentence.rstrip('.')} (see labrun --help)", file=sys.stderr)
        return 2
    except LabError as error:
        print(f"labrun: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("labrun: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 0
    return status if isinstance(status, int) else 0
