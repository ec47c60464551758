"""`labrun init`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


@command()
def init(
    server: Annotated[
        str,
        typer.Option(help="The server of this repository, by its command.", metavar="NAME=COMMAND"),
    ] = "app=./app --port {port}",
    build: Annotated[str, typer.Option(help="What builds it.")] = "make",
    lab: Annotated[
        str | None,
        typer.Option(
            help="What the workflow installs the lab from, as pip takes it: git+https://..., a "
            "wheel's address or its path in the repository.",
            show_default="where this one came from",
        ),
    ] = None,
) -> None:
    """Write labrun.toml, and a workflow that holds each change against the branch it goes to.

    example: labrun init --server 'app=./app --port {port}' --build make
    """
    from harness.commands.init import init_command

    raise typer.Exit(init_command(server, build, lab))
