"""The command `labrun` itself, to which the modules beside this one add theirs."""

from __future__ import annotations

from collections import Counter
from functools import partial
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from harness.core.errors import LabError


class OnceCommand(TyperCommand):
    """A command whose options are given once, but for those that are lists: of two values one
    would be silently lost."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, times in Counter(given).items():
            alone = isinstance(option, TyperOption) and not (option.multiple or option.is_eager)
            if alone and times > 1:
                raise LabError(f"{option.opts[0]} is given more than once; give it once")
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="labrun",
    help="Thread per request or thread pool? Two servers, one open-loop load generator, and "
    "figures that can be defended.\n\nexample: labrun compare --rps 2000",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
command = partial(app.command, cls=OnceCommand)


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
