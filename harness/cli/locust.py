"""`labrun locust`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import command
from harness.cli.options import asks


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
