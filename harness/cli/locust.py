"""`labrun locust` and `labrun locust-worker`: what they are called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import asks, command


@command()
@asks("workload", "workers")
def locust(
    backend: Annotated[str, typer.Argument(help="Which server to start.")] = "thread-pool",
    web_port: Annotated[
        int, typer.Option(help="Port of the page, on loopback; 0: any that is free.")
    ] = 8089,
    user_class: Annotated[
        str, typer.Option(help="socket, or fast (Locust's FastHttpUser).")
    ] = "socket",
    *,
    typed: Any,
) -> None:
    """Start a server and Locust's web page on it; Ctrl-C ends both.

    example: labrun locust thread-per-request --web-port 0
    """
    from harness.commands.locust import LocustOptions, locust_command

    raise typer.Exit(locust_command(LocustOptions(backend, web_port, user_class, typed["servers"])))


@command("locust-worker")
def locust_worker(
    master: Annotated[
        str, typer.Option(help="HOST or HOST:PORT of the lab: its --master as seen from here.")
    ],
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for a trial; after that many this ends.")
    ] = 60.0,
) -> None:
    """Send load for a labrun compare --expect-workers on another machine.

    example: labrun locust-worker --master 10.0.0.5
    """
    from harness.commands.locust import worker_command

    raise typer.Exit(worker_command(master, wait))
