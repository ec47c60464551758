"""`labrun compare`: its options, and what it is called with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.app import command
from harness.cli.options import ANY_SERVER, BOTH, RUN, asks, backends_of


@command()
@asks(*ANY_SERVER, *RUN)
def compare(
    rps: Annotated[
        str, typer.Option(help="Target rates, requests a second: 2000 or 500,2000,10000.")
    ] = "2000",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="The document's levels: 500,1000,2000,5000,10000.")
    ] = False,
    backends: Annotated[
        str | None,
        typer.Option(
            help="Baseline and contender; twice the same is a control (A/A).",
            show_default=BOTH,
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="What to compare by a name of its own: 'wide=thread-pool --workers 64', with the "
            "options of labrun serve. Repeatable; after --backends, if any.",
            metavar="'NAME=BACKEND ...'",
        ),
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(
            help="blocks: all servers alive, load in turns (default); trials: one after the other."
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(help="Each server afresh so often (blocks 8, trials 5, which is the least)."),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds of load for each in a round (blocks 3.5, else 5).")
    ] = None,
    block: Annotated[
        float | None, typer.Option(help="Seconds of load before it is the next one's turn (0.5).")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Go on until intervals are that narrow: p99=10%,cpu=2%. Blocks only."),
    ] = None,
    most: Annotated[
        str | None, typer.Option(help="How long it may go on for that, as 90s or 10m (10m).")
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            help="Seconds of load before, thrown away: first requests are slow (0.7; trials 1)."
        ),
    ] = None,
    driver: Annotated[
        str, typer.Option(help="open-loop; closed-loop or locust: what most tools leave out.")
    ] = "open-loop",
    users: Annotated[
        int | None, typer.Option(help="Locust's users (100), who share the rate: --clients.")
    ] = None,
    user_class: Annotated[
        str | None,
        typer.Option(help="Locust: socket, or fast (FastHttpUser): what does its client cost?"),
    ] = None,
    locust_workers: Annotated[
        int | None, typer.Option(help="Locust: processes that the users are in; one is the limit?")
    ] = None,
    expect_workers: Annotated[
        int | None, typer.Option(help="Locust: wait for so many labrun locust-worker.")
    ] = None,
    master: Annotated[
        str | None, typer.Option(help="Where those find this lab (0.0.0.0:5557, every address).")
    ] = None,
    worker_wait: Annotated[
        float | None, typer.Option(help="Seconds to wait for them (60).")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a labrun serve elsewhere; with commas, one for each backend."
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of its control port, or of each; the token: LABRUN_TOKEN."),
    ] = None,
    *,
    typed: Any,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the response times in the terminal too.")
    ] = False,
    max_loss: Annotated[
        list[str] | None,
        typer.Option(
            help="METRIC=10%: exit 1 if a contender is worse than the baseline by more. "
            "Repeatable.",
            metavar="M=SHARE",
        ),
    ] = None,
    least: Annotated[
        list[str] | None,
        typer.Option("--min", help="METRIC=0.99: exit 1 below. Repeatable.", metavar="M=VALUE"),
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Record and rows alone; labrun report draws them later.")
    ] = False,
) -> None:
    """Measure backends, or any servers, side by side at one rate or several.

    example: labrun compare --server 'old=./old --port {port}' --server 'new=./new --port {port}'
    """
    from harness.session.settings import CompareOptions, design_options, make_settings

    options = CompareOptions(
        rps="500,1000,2000,5000,10000" if sweep else rps,
        backends=backends_of(backends, typed, others=bool(arm)),
        arms=arm or (),
        max_loss=max_loss or (),
        least=least or (),
        **design_options(design, rounds, duration, warmup, block, driver, target),
        precision=precision,
        most=most,
        driver=driver,
        plot=plot,
        bare=bare,
        target=target,
        control=control,
        expect_workers=expect_workers,
        master=master,
        worker_wait_s=worker_wait,
        users=users,
        user_class=user_class,
        locust_workers=locust_workers,
        **typed,
    )
    settings = make_settings(options)
    from harness.commands.compare import compare_command

    raise typer.Exit(compare_command(options, settings))
