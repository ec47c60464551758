"""`labrun serve`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command


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
