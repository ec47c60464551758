"""The lab from Python: what a notebook or a script needs, by the same ways as the command line.

    from harness.lab import compare
    first = compare("first", rps=2000)
    first.table()

Each experiment has a name. With `LAB_OFFLINE=1` in the environment nothing is measured: the
recorded run of that name is read instead, so that a notebook works where a machine cannot measure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.core.ends import figure_ends, ratio_ends
from harness.core.errors import LabError
from harness.core.record import CellMetric, Comparison, Run, Settings, Trial, ordered_value
from harness.course.checks import check
from harness.course.files import keep, recorded_folder
from harness.session.settings import CompareOptions, make_settings
from harness.store import RunFolder
from harness.studies.anatomy.account import Anatomy, dissect
from harness.studies.compare.restrict import only
from harness.studies.compare.section import from_trials
from harness.studies.compare.summary import finding, slot_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.designs.trials import PlannedTrial
    from harness.measure.trial import Progress
    from harness.report.source import Source
    from harness.studies.claims.records import Judged

__all__ = [
    "BOTH",
    "Experiment",
    "LabError",
    "Picture",
    "anatomy",
    "check",
    "claims",
    "compare",
    "load_run",
    "offline",
    "reference",
    "say",
]

BOTH = ("thread-per-request", "thread-pool")
_SHOWN = (
    ("success", "client.success_rate"),
    ("median response, µs", "client.response_us.p50"),
    ("p99 response, µs", "client.response_us.p99"),
    ("CPU per request, µs", "server.cpu_us_per_request.total"),
    ("overhead CPU per request, µs", "server.cpu_us_per_request.overhead"),
    ("context switches per second", "server.context_switches.per_s"),
    ("threads alive, mean", "server.threads_active_mean"),
    ("threads created per second", "server.threads_created_per_s"),
    ("queue depth, most", "server.queue_depth_max"),
    ("resident memory, bytes", "server.memory.rss_peak_bytes"),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, shown in Jupyter. `figure` is Matplotlib's."""

    figure: Figure

    def save(self, path: str | Path) -> None:
        """Write it to a file; the name's end says as what (`.png`, `.svg`, `.pdf`)."""
        from harness.views import style

        with style.styled():
            self.figure.savefig(path)

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        from harness.views import style

        data = BytesIO()
        with style.styled():
            self.figure.savefig(data, format="png", dpi=100, metadata={"Software": None})
        return data.getvalue()


class Experiment:
    """A run: its record, its rows, its table, its pictures. Shown as a table in Jupyter."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._source = source
        self.folder = folder

    @property
    def run(self) -> Run:
        """The whole record, as in `run.json`."""
        return self._source.run

    @property
    def settings(self) -> Settings:
        """Everything that was chosen."""
        return self.run.settings

    @property
    def finding(self) -> str:
        """What the run found, level by level, in the words that `labrun compare` prints."""
        run = self.run
        told = (finding(rps, run.comparisons, run.cells, run.trials) for rps in run.settings.rps)
        return " ".join(told)

    @property
    def requests(self) -> pd.DataFrame:
        """One row for each scheduled request; times in microseconds (`lag_us`, `connect_us`,
        `response_us`), `intended_us` from the window's start. Of the reference run a row stands for
        as many requests as its column `weight` says."""
        return self._source.requests

    @property
    def timeline(self) -> pd.DataFrame:
        """One row for each 100 ms of each trial: threads, queue, CPU, context switches, memory."""
        return self._source.timeline

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each trial: its class, whether it counts, and the main figures."""
        return pd.DataFrame([_trial_row(trial) for trial in self.run.trials])

    def table(self, rps: float | None = None) -> pd.DataFrame:
        """Medians of each backend at one level (None: the first), the ratio of the second to the
        first with its 95 % interval, and the verdict; for further backends the same four columns
        with their names. A response time that lies among the failures is infinite. Raises
        `LabError` for another level."""
        level = self._level(rps)
        cells = [cell for cell in self.run.cells if cell.rps == level]
        compared = {(c.slot, c.metric): c for c in self.run.comparisons if c.rps == level}
        rows = {}
        for title, path in _SHOWN:
            medians: dict[str, float | str | None] = {
                _name(self.run, c.slot): _median(c.metrics.get(path)) for c in cells
            }
            for slot in range(1, len(self.run.settings.backends)):
                suffix = "" if slot == 1 else f", {_name(self.run, slot)}"
                medians |= _ratio(compared.get((slot, path)), suffix)
            rows[title] = medians
        return pd.DataFrame(rows).T

    def figure(self, path: str, rps: float | None = None) -> pd.Series[float]:
        """One figure by its path in the record (`client.response_us.p99`), the median over the
        valid rounds, for each backend. Raises `LabError` for a path that is none."""
        level, run = self._level(rps), self.run
        try:
            found = {
                _name(run, slot): from_trials(run, slot, level, path)
                for slot in range(len(run.settings.backends))
            }
        except (AttributeError, TypeError, ValueError):  # no such name, or what it names is none
            raise LabError(
                f"there is no figure {path!r}; their paths are those of run.json"
            ) from None
        return pd.Series(found, dtype=float)

    def plot(self, chart: str = "distribution", rps: float | None = None) -> Picture:
        """A picture: distribution, success, storm, cost, anatomy, or waterfall; of one
        level where `rps` is given. Raises `LabError` for another name."""
        from harness.report import charts
        from harness.studies.anatomy import chart as anatomy_chart
        from harness.studies.compare.charts import waterfall
        from harness.views import style

        source = self._source if rps is None else self._at(self._level(rps))
        run = source.run
        main = style.nearest_level(run)
        draw: dict[str, Callable[[], Figure]] = {
            name: partial(charts.figure, name, run, source.requests, source.timeline)
            for name in charts.NAMES
        }
        draw["anatomy"] = lambda: anatomy_chart.draw(run, self.anatomy(main))
        draw["waterfall"] = lambda: waterfall.draw(run, source.requests, main)
        if chart not in draw:
            raise LabError(f"there is no picture {chart!r}; there are {', '.join(draw)}")
        with style.styled():
            return Picture(draw[chart]())

    def anatomy(self, rps: float | None = None) -> Anatomy:
        """The life of a request at one level (None: the one nearest to 2,000 RPS)."""
        from harness.views import style

        level = style.nearest_level(self.run) if rps is None else self._level(rps)
        saved = self._source.anatomy
        if saved is not None and saved.rps == level:
            return saved
        return dissect(self.run, level, None if saved is None else saved.apart)

    def steps(self, rps: float | None = None) -> pd.DataFrame:
        """The anatomy as a table: median and p99 of each step, in microseconds, and what the design
        document says of it."""
        rows = [
            {"backend": life.backend, "step": step.name.replace("_", " "), "median_us": step.p50_us,
             "p99_us": step.p99_us, "document_us": step.document_us}
            for life in self.anatomy(rps).lives
            for step in life.steps
        ]  # fmt: skip
        steps = list(dict.fromkeys(row["step"] for row in rows))
        frame = pd.DataFrame(rows).pivot(index="step", columns="backend")
        return frame.reindex(steps).dropna(how="all")

    def _level(self, rps: float | None) -> float:
        levels = self.run.settings.rps
        if rps is None:
            return levels[0]
        if rps not in levels:
            known = ", ".join(f"{level:.12g}" for level in levels)
            raise LabError(f"the run has no level {rps:.12g}; it has {known}")
        return float(rps)

    def _at(self, rps: float) -> Source:
        from dataclasses import replace

        source = self._source
        return replace(
            source,
            run=only(source.run, rps),
            requests=source.requests[source.requests["level"] == rps],
            timeline=source.timeline[source.timeline["level"] == rps],
        )

    def _repr_html_(self) -> str:
        from html import escape

        levels = self.run.settings.rps
        tables = "".join(
            f"<p><b>{rps:,.0f} RPS</b></p>{self.table(rps).to_html(float_format='{:,.3g}'.format)}"
            for rps in levels
        )
        return f"<p>{escape(self.finding)}</p>{tables}"

    def __repr__(self) -> str:
        return f"Experiment({self.run.id}: {self.finding})"


def compare(
    name: str,
    *,
    rps: float | Sequence[float] = 2000,
    backends: Sequence[str] = BOTH,
    rounds: int = 3,
    duration: float = 1.0,
    warmup: float = 0.3,
    out: str | Path = "results",
    **options: Any,
) -> Experiment:
    """Measure backends side by side, as `labrun compare` does; small defaults, for learning.

    `rps`: one rate or several; `rounds`: five give an interval; `duration`, `warmup`: seconds;
    `options`: others of `labrun compare` by their names (`clients`, `workload`, `driver`,
    `workers`, `timeout`, `switch_interval`, ...). Raises `LabError` for what cannot be measured,
    and offline where no run of that name was recorded.
    """
    if offline():
        return _recorded(name)
    rates = [rps] if isinstance(rps, int | float) else list(rps)
    settings = make_settings(
        CompareOptions(
            rps=",".join(map(str, rates)),
            backends=",".join(backends),
            rounds=rounds,
            duration_s=duration,
            warmup_s=warmup,
            out=str(out),
            name=name,
            **_by_field(options),
        )
    )
    from harness.measure.run import run_experiment

    folder = RunFolder.create(Path(out), name)
    try:
        result = run_experiment(settings, folder, f"harness.lab.compare({name!r})", _Line(name))
    except (LabError, KeyboardInterrupt):
        folder.discard_if_empty()
        raise
    if not result.run.complete:
        raise LabError(f"{result.run.incomplete_reason}; what was measured is in {folder.path}")
    if os.environ.get("LAB_RECORD"):
        keep(folder.path, name)
    return load_run(folder.path)


def anatomy(name: str, rps: float = 2000, **options: Any) -> Experiment:
    """The same as `compare`, and what no trial can stamp beside it: the end of a thread, the way
    back to the queue. See `Experiment.steps` and `Experiment.plot("anatomy")`."""
    found = compare(name, rps=rps, **options)
    if offline():
        return found
    from harness.cli.anatomy import measure_apart, save_anatomy

    save_anatomy(found.folder, dissect(found.run, rps, measure_apart(found.settings, _quiet)))
    if os.environ.get("LAB_RECORD"):
        keep(found.folder, name)
    return load_run(found.folder)


def say(text: str) -> None:
    """Show a sentence with figures in it, as text of the page in Jupyter."""
    from IPython.display import Markdown, display

    display(Markdown(text))  # type: ignore[no-untyped-call]


def claims(experiment: Experiment) -> pd.DataFrame:
    """What an experiment says of each of the design document's claims: the document's figure, ours
    with its interval, the verdict, why, and for an absolute cost the language of both. Raises
    `LabError` for an experiment that the claims are not about."""
    from harness.studies.claims.scenario import check_about
    from harness.studies.claims.storage import judged, load_beside

    check_about(experiment.run)
    record: Judged = judged(experiment.run, load_beside(experiment.folder) or _nothing_beside())
    return pd.DataFrame(
        [
            {"claim": j.claim.text, "document": j.document, "here": j.ours, "verdict": j.verdict,
             "why": j.reason or "", "language": j.language or ""}
            for j in record.judgements
        ]
    )  # fmt: skip


def load_run(path: str | Path) -> Experiment:
    """A run that was made before, from its folder. Raises `LabError` when it cannot be read."""
    from harness.report.source import load_source

    folder = Path(path)
    return Experiment(load_source(folder), folder if folder.is_dir() else folder.parent)


def reference() -> Experiment:
    """The reference run: a sweep over the document's levels, on the lab's own machine. Its raw
    rows are those of 2,000 RPS alone, and thinned: all of the slowest, of the others one for
    several, as the column `weight` says; the pictures count by it, and so must you. Raises
    `LabError` where it is not installed."""
    from harness.report.source import Source, saved_anatomy
    from harness.store import REQUESTS_FILE, TIMELINE_FILE, read_rows
    from harness.store import load_run as read
    from harness.studies.claims.storage import load_beside
    from harness.views.style import nearest_level

    folder = recorded_folder() / "reference"
    requests, timeline = (read_rows(folder / n) for n in (REQUESTS_FILE, TIMELINE_FILE))
    run = read(folder)
    assert set(requests["level"]) == {nearest_level(run)}
    source = Source(run, requests, timeline, None, None, load_beside(folder), saved_anatomy(folder))
    return Experiment(source, folder)


def _by_field(options: dict[str, Any]) -> dict[str, Any]:
    """Options by their names on the command line. Raises `LabError` for one that is none."""
    known = {field.name.removesuffix("_s"): field.name for field in fields(CompareOptions)}
    strange = sorted(set(options) - set(known))
    if strange:
        raise LabError(
            f"compare() has no option {strange[0]!r}; there are {', '.join(sorted(known))}"
        )
    return {known[name]: value for name, value in options.items()}


def offline() -> bool:
    """Whether nothing may be measured (`LAB_OFFLINE=1`)."""
    return os.environ.get("LAB_OFFLINE", "") not in ("", "0")


def _recorded(name: str) -> Experiment:
    folder = recorded_folder() / name
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in recorded_folder().glob("*")))
        raise LabError(
            f"no run {name!r} was recorded; unset LAB_OFFLINE to measure it, or take {known}"
        )
    return load_run(folder)


def _nothing_beside() -> Any:
    from harness.studies.claims.records import Beside

    return Beside()


def _quiet(line: str) -> None:
    """Progress that nobody asked for."""


def _name(run: Run, slot: int) -> str:
    return slot_names(run.settings.backends)[slot]


def _median(found: CellMetric | None) -> float | None:
    return None if found is None else figure_ends(found)[0]


def _ratio(found: Comparison | None, suffix: str) -> dict[str, float | str | None]:
    """The four columns of a comparison; ends that are infinite as such."""
    if found is None:
        return {}
    value, low, high = ratio_ends(found)
    told = {"ratio": value, "low": low, "high": high, "verdict": found.verdict}
    return {f"{name}{suffix}": what for name, what in told.items()}


def _trial_row(trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rps": trial.rps, "round": trial.round, "backend": trial.backend, "class": trial.class_,
        "valid": trial.valid,
    }  # fmt: skip
    return row | {title: ordered_value(trial, path) for title, path in _SHOWN}


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; that ipykernel was imported says nothing."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class _Line:
    """Progress as one line that is written over; in a notebook as an output that changes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._total = 0
        self._number = 0
        self._shown: Any = None

    def trial_begins(self, planned: PlannedTrial, number: int, total: int) -> None:
        """Says which trial it is."""
        self._number, self._total = number, total
        self._say(f"{planned.backend} at {planned.rps:,.0f} RPS, round {planned.round}")

    def progress(self, progress: Progress) -> None:
        """Nothing: a trial is short."""

    def trial_ended(self, trial: Trial) -> None:
        """Says that all is done, after the last."""
        if self._number == self._total:
            self._say("done")

    def _say(self, what: str) -> None:
        text = f"{self._name}: {self._number} of {self._total}: {what}"
        if not _in_notebook():
            sys.stdout.write(f"\r{text:<78}" + ("\n" if what == "done" else ""))
            sys.stdout.flush()
            return
        from IPython.display import Pretty, display

        if self._shown is None:
            self._shown = display(Pretty(text), display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(Pretty(text))  # type: ignore[no-untyped-call]
