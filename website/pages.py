"""Pages that are made of records: what there is to look at, and the history. Each figure in them is
read from a run; none is written here."""

from __future__ import annotations

import os

from harness.gallery.page import gallery_page
from harness.gallery.reading import gallery_files, read_entry
from harness.reading.runs import load_run, read_runs
from harness.studies.compare.summary import level_finding
from harness.studies.history import page as history_page
from harness.studies.history.series import History, build_history, tell_steps
from harness.views.style import nearest_level
from website.repository import ROOT

HISTORY = "results/history"
GALLERY = "gallery"
SIMULATOR = "docs/simulator"
CI_HISTORY = "build/bench/history/history.html"  # of .github/workflows/bench.yml
REPORT = "report.html"

API = """# Python API

From the docstrings. `harness.lab` is what notebooks and scripts use; the rest is for a backend of
your own ([how](plugins.md)).

::: harness.lab

::: servers.backend
    options:
      members: [Backend, Overloaded, Peak]

::: servers.connection.Connection

::: servers.report.Gauges
"""


GALLERY_HEAD = """# Over machines

Microseconds are a machine's own; a ratio may travel. These are the runs that people gave, each
linked by its day. [How to give one](CONTRIBUTING.md#a-run-for-the-gallery).

"""


def gallery() -> str:
    """The ratios of all gallery files. Raises `LabError` for a file that is none."""
    files = gallery_files(ROOT / GALLERY)
    return GALLERY_HEAD + gallery_page([(f.name, read_entry(f)) for f in files], GALLERY)


def reports() -> list[str]:
    """The folders of the recorded runs that have a report, from the root."""
    files = sorted((ROOT / "results").rglob(REPORT))
    return [file.parent.relative_to(ROOT).as_posix() for file in files]


def history() -> History:
    """The recorded runs over the commits. Raises `LabError` where none can be read."""
    return build_history(read_runs(ROOT / HISTORY)[0])


def history_html(found: History) -> str:
    """The page that `labrun history` makes."""
    return history_page.page(found)


def look(found: History) -> str:
    """The page that leads to all that is there to be looked at."""
    parts = ["# Look at it\n", "Pages that need no server: each works as a file, too.\n"]
    parts.append(
        f"## [The simulator]({SIMULATOR}/index.html)\n\nThe same load on two architectures, each "
        f"request a dot ([how it works](docs/seeing.md)).\n\n"
        f"[![Requests as dots in the simulator]({SIMULATOR}/picture.png)]({SIMULATOR}/index.html)\n"
    )
    if repository := os.environ.get("SITE_REPOSITORY"):
        parts.append(_course(repository))
    for folder in reports():
        parts.append(_report(folder))
    parts.append(_history(found))
    if (ROOT / CI_HISTORY).exists():
        parts.append(f"## [The history of main]({CI_HISTORY})\n\nA run for each push, in CI.\n")
    return "\n".join(parts)


def _course(repository: str) -> str:
    """Where the course can be opened, of a repository as `OWNER/NAME`."""
    first = "?urlpath=lab/tree/notebooks/00-start-here.ipynb"
    return (
        f"## [The course in a browser](https://mybinder.org/v2/gh/{repository}/HEAD{first})\n\n"
        "Binder makes a machine for it, in some minutes. It reads recorded runs and measures "
        "nothing ([why](docs/teaching.md#without-linux)).\n"
    )


def _report(folder: str) -> str:
    run = load_run(ROOT / folder)
    chart = f"{folder}/charts/storm.png"
    picture = f"[![Threads in the report of {folder}]({chart})]({folder}/{REPORT})\n"
    return (
        f"## [The report of {folder}]({folder}/{REPORT})\n\n"
        f"{level_finding(run, nearest_level(run))}\n\n"
        + (picture if (ROOT / chart).exists() else "")
    )


def _history(found: History) -> str:
    steps = "".join(f"- {step}.\n" for step in tell_steps(found)) or "No step in any figure.\n"
    charts = sorted((ROOT / HISTORY).glob("*.png"))
    pictures = "".join(
        f"[![The headline figures over the commits]({HISTORY}/{chart.name})]"
        f"({HISTORY}/history.html)\n\n"
        for chart in charts
    )
    title = f"[The history of {len(found.runs)} commits]({HISTORY}/history.html)"
    return f"## {title}\n\n{steps}\n{pictures}"
