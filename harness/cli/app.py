"""The command `labrun` itself, to which the modules beside this one add theirs."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

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
