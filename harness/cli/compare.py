"""`labrun compare`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import ANY_SERVER, BOTH, DESIGN, DRIVING, RUN, asks, backends_of, command
from harness.core.errors import LabError


@command()
@asks(
    "arms",
    *DESIGN,
    "precision",
    "most",
    "warmup_s",
    *DRIVING,
    "pythons",
    *ANY_SERVER,
    *RUN,
    "plot",
    "traced",
    "max_loss",
    "least",
    "bare",
    "live",
    **dict.fromkeys((*DESIGN, "warmup_s")),
    help={
        "warmup_s": "Seconds of load before, thrown away: first requests are slow (0.7; trials 1)."
    },
)
def compare(
    rps: Annotated[
        str, typer.Option(help="Target rates, requests a second: 2000 or 500,2000,10000.")
    ] = "2000",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="The document's levels: 500,1000,2000,5000,10000.")
    ] = False,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every built-in architecture in Python under four loads: a rate, saturation, "
            "idle connections, slow clients. About four minutes, no load begun after ten.",
        ),
    ] = False,
    backends: Annotated[
        str | None,
        typer.Option(
            help="Baseline and contender; twice the same is a control (A/A).",
            show_default=BOTH,
        ),
    ] = None,
    *,
    typed: Any,
) -> None:
    """Measure backends, or any servers, side by side at one rate or several.

    example: labrun compare --server 'old=./old --port {port}' --server 'new=./new --port {port}'
    """
    from harness.session.settings import CompareOptions, design_options, make_settings

    if all_ and typed["live"]:
        raise LabError("--live shows one comparison and --all makes several; leave out one of them")
    if all_:
        from harness.commands.architectures import overview_command
        from harness.session.study_options import all_options

        raise typer.Exit(overview_command(all_options(rps, sweep, backends, typed, DESIGN)))
    design = {name: typed.pop(name) for name in (*DESIGN, "warmup_s")}
    asked = {"driver": typed["driver"], "target": typed["target"], "trace": typed["traced"]}
    options = CompareOptions(
        rps="500,1000,2000,5000,10000" if sweep else rps,
        backends=backends_of(backends, typed, others=bool(typed["arms"])),
        **design_options(**design, **asked),
        **typed,
    )
    settings = make_settings(options)
    from harness.commands.compare import compare_command

    raise typer.Exit(compare_command(options, settings))
