"""`labrun replay`: a traced run in slow motion, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.core.errors import LabError
from harness.terminal.output import Console


@command()
def replay(
    run: Annotated[str, typer.Argument(help="A run of labrun compare --trace: its folder.")],
    out: Annotated[
        str | None, typer.Option(help="The page's file (default: replay.html in the run's folder).")
    ] = None,
    rps: Annotated[
        float | None, typer.Option(help="Which level, of several (default: nearest to 2000).")
    ] = None,
) -> None:
    """Write one offline page that shows every request of a traced run in slow motion.

    example: labrun compare --trace --rps 1000 && labrun replay results/20261128T083729Z-compare
    """
    from harness.report.replay import replay_page
    from harness.report.trace import load_trace
    from harness.store import write_whole

    path = Path(run)
    page = replay_page(load_trace(path, rps))
    file = (path if path.is_dir() else path.parent) / "replay.html" if out is None else Path(out)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise LabError(f"--out {file}: name a file in a folder that is there")
    write_whole(file, page)
    Console().print(str(file), highlight=False, soft_wrap=True)
