"""`labrun report`: the page and the Markdown of a run, from its folder."""

from __future__ import annotations

from pathlib import Path

from harness.report import write_report
from harness.report.source import Source, load_source, newest_run
from harness.terminal.output import Console, complain


def report_command(
    run: str | None, closed_loop: str | None, capacity: str | None, out: str | None
) -> int:
    """Write both files into the run's folder, or into another; the exit status.

    Raises `LabError` for a run that cannot be read and a folder that cannot be written.
    """
    path = Path(run) if run is not None else newest_run(Path("results"))
    source = load_source(path, _path(closed_loop), _path(capacity))
    folder = _path(out) or (path if path.is_dir() else path.parent)
    for written in write_report(source, folder, complain):
        Console().print(str(written), highlight=False, soft_wrap=True)
    return 0


def docs_command(run: str | None) -> int:
    """Renew the figures in README.md and docs/results.md; the exit status."""
    for file, (before, after) in renewed_texts(Path(), run).items():
        if after != before:
            file.write_text(after, encoding="utf-8")
        Console().print(f"{file}: {'renewed' if after != before else 'as it was'}", highlight=False)
    return 0


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
