"""`labrun locust-worker`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


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
    from harness.commands.locust_worker import worker_command

    raise typer.Exit(worker_command(master, wait))
