"""The command `labrun`. Heavy imports wait until a command needs them: --help must be quick."""

from __future__ import annotations

import signal
import sys
from importlib import metadata
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

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
    warmup: Annotated[float, typer.Option(help="Seconds of load before, thrown away.")] = 1.0,
    clients: Annotated[int, typer.Option(help="Clients that share the rate.")] = 100,
    timeout: Annotated[float, typer.Option(help="Seconds after which a client gives up.")] = 1.0,
    arrivals: Annotated[
        str, typer.Option(help="poisson: independent clients; constant: equal gaps.")
    ] = "poisson",
    workload: Annotated[
        str, typer.Option(help="ingest; io:40ms, a handler that waits; cpu:2ms, one that computes.")
    ] = "ingest",
    driver: Annotated[
        str, typer.Option(help="open-loop; closed-loop shows what most tools leave out.")
    ] = "open-loop",
    workers: Annotated[int, typer.Option(help="Threads of the pool.")] = 16,
    queue_size: Annotated[int, typer.Option(help="What may wait for them; beyond: 503.")] = 10_000,
    stack_size: Annotated[
        str, typer.Option(help="Address space for each thread's stack.")
    ] = "2MiB",
    backlog: Annotated[
        int, typer.Option(help="Connections that the kernel holds until accept.")
    ] = 4096,
    lock_stacks: Annotated[
        bool, typer.Option("--lock-stacks", help="Make stacks resident when a thread starts.")
    ] = False,
    switch_interval: Annotated[
        float | None, typer.Option(help="Seconds a thread may keep the GIL (Python: 0.005).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal schedules.")] = 1,
    out: Annotated[str, typer.Option(help="Where the run's folder goes.")] = "results",
    name: Annotated[str, typer.Option(help="The end of the folder's name.")] = "compare",
    json: Annotated[
        str | None, typer.Option(help="Write the record there too; - is standard output, alone.")
    ] = None,
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
    )
    settings = make_settings(options)
    from harness.cli.compare import compare_command

    raise typer.Exit(compare_command(options, settings))


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
