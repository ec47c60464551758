"""The commands that keep something running, or list what there is to run."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command
from harness.cli.typed import (
    Workers,
    Workload,
)


@command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def serve(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run one server by hand, as `python -m servers` does.

    example: labrun serve thread-pool --port 8080
    """
    from servers.__main__ import main as serve_main

    raise typer.Exit(serve_main(arguments or ["--help"], prog="labrun serve"))


@command()
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


@command("locust-worker")
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


@command()
def notebook(
    number: Annotated[int | None, typer.Argument(help="Which to open, 0 to 8.")] = None,
    folder: Annotated[
        str, typer.Option(help="Where the course goes; what you changed is kept.")
    ] = "metricstream-course",
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")
    ] = True,
) -> None:
    """Copy the course's notebooks here and open JupyterLab, which Ctrl-C ends.

    example: labrun notebook 3
    """
    from harness.cli.notebook import notebook_command

    raise typer.Exit(notebook_command(number, folder, open_it))


@command()
def backends() -> None:
    """List the backends that can be named.

    example: labrun backends
    """
    from servers.registry import available

    for name, target in sorted(available().items()):
        print(f"{name:<22} {target}")
    print("module:Class           a backend of your own, from the current folder or installed")
