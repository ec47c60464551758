"""`labrun report`: the page and the Markdown of a run, from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import command
from harness.terminal.output import Console, complain

if TYPE_CHECKING:
    from harness.report.source import Source


@command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="A run's folder; without one, the newest below results/.")
    ] = None,
    closed_loop: Annotated[
        str | None, typer.Option(help="The same, driven by a closed loop, to show beside it.")
    ] = None,
    capacity: Annotated[
        str | None, typer.Option(help="A run of labrun capacity, to show in it.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Another folder to write into.")] = None,
    docs: Annotated[
        bool, typer.Option("--docs", help="Renew the figures in README.md and docs/ instead.")
    ] = False,
) -> None:
    """Write report.html (one file, works offline) and report.md of a run.

    example: labrun report results/20261124T024814Z-compare
    """
    if docs:
        _renew_docs(run)
    else:
        _write(run, closed_loop, capacity, out)


def _write(run: str | None, closed_loop: str | None, capacity: str | None, out: str | None) -> None:
    """Write both files into the run's folder, or into another.

    Raises `LabError` for a run that cannot be read and a folder that cannot be written.
    """
    from harness.report import write_report
    from harness.report.source import load_source, newest_run

    path = Path(run) if run is not None else newest_run(Path("results"))
    source = load_source(path, _path(closed_loop), _path(capacity))
    folder = _path(out) or (path if path.is_dir() else path.parent)
    for written in write_report(source, folder, complain):
        Console().print(str(written), highlight=False, soft_wrap=True)


def _renew_docs(run: str | None) -> None:
    """Renew the figures in README.md and docs/results.md."""
    for file, (before, after) in renewed_texts(Path(), run).items():
        if after != before:
            file.write_text(after, encoding="utf-8")
        Console().print(f"{file}: {'renewed' if after != before else 'as it was'}", highlight=False)


def renewed_texts(root: Path, run: str | None = None) -> dict[Path, tuple[str, str]]:
    """Each text with figures: as it is, and as its runs would have it. Raises `LabError`."""
    from harness.report.docs import rewrite

    return rewrite(root, {"terminal": terminal}, run)


def terminal(source: Source, folder: str) -> str:
    """The text that `labrun compare` printed of a run's main level, in a pipe of 80 columns."""
    from io import StringIO

    from harness.studies.compare.summary import only
    from harness.terminal.table import print_run
    from harness.views.style import nearest_level

    out = StringIO()
    console = Console(file=out, width=80, color_system=None)
    print_run(console, only(source.run, nearest_level(source.run)), Path(folder))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join(["```", *lines, "```"])


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
