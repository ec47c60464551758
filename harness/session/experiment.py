"""A run as Python sees it: its record, its rows, its table, its pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from harness.core.errors import LabError
from harness.core.metrics import shown
from harness.core.record import CellMetric, Comparison, Design, Run, Settings, Trial, ordered_value
from harness.core.trials import design_at
from harness.core.wording import figure_ends, ratio_ends, slot_names
from harness.drivers.driver import driver_of
from harness.report.source import Source
from harness.studies.anatomy.account import Anatomy, dissect
from harness.studies.compare.section import from_trials
from harness.studies.compare.summary import only, run_finding
from harness.studies.compare.waterfall import SENT_AFTER, sent_after_us


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """A chart, shown in Jupyter. `figure` is Matplotlib's."""

    figure: Figure

    def save(self, path: str | Path) -> None:
        """Write it to a file; the name's end says as what (`.png`, `.svg`, `.pdf`)."""
        from harness.views import style

        with style.styled(), style.settled(self.figure):
            self.figure.savefig(path)

    @property
    def alternative(self) -> str:
        """What it shows, in words."""
        from harness.views import style

        return style.description(self.figure)

    def __repr__(self) -> str:
        return f"Picture: {self.alternative}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """For Jupyter: the picture, with its words for whoever cannot see it."""
        data = {"image/png": self._repr_png_(), "text/plain": repr(self)}
        return data, {"image/png": {"alt": self.alternative}}

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        from harness.views import style

        data = BytesIO()
        with style.styled(), style.settled(self.figure):
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
        """The result, level by level, in the words that `labrun compare` prints."""
        return run_finding(self.run)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row for each scheduled request; times in microseconds (`lag_us`, `connect_us`,
        `response_us`), `intended_us` from the window's start; of a closed loop also
        `sent_after_us`, from the intended time to the actual send. Of the reference run a row
        stands for as many requests as its column `weight` says."""
        rows = self._source.requests
        if not driver_of(self.settings.driver).falls_behind:
            return rows
        return rows.assign(**{SENT_AFTER: sent_after_us(rows)})

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
        first with its 95 % interval (99 % of a run with `precision`), and the verdict; for further
        backends the same four columns with their names. A response time that lies among the
        failures is infinite. Raises `LabError` for another level."""
        level = self._level(rps)
        cells = [cell for cell in self.run.cells if cell.rps == level]
        compared = {(c.slot, c.metric): c for c in self.run.comparisons if c.rps == level}
        rows = {}
        for title, metric in shown("notebook", design_at(self.run, level)):
            medians: dict[str, float | str | None] = {
                _name(self.run, c.slot): _median(c.metrics.get(metric.path)) for c in cells
            }
            for slot in range(1, len(self.run.settings.backends)):
                suffix = "" if slot == 1 else f", {_name(self.run, slot)}"
                medians |= _ratio(compared.get((slot, metric.path)), suffix)
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
        from harness.studies.anatomy import section as anatomy_chart
        from harness.studies.compare import waterfall
        from harness.views import style

        source = self._source if rps is None else self._at(self._level(rps))
        run = source.run
        main = style.nearest_level(run)
        draw: dict[str, Callable[[], Figure]] = {
            name: partial(charts.figure, name, run, source.requests, source.timeline)
            for name in charts.NAMES
        }
        draw["anatomy"] = lambda: anatomy_chart.draw_anatomy(run, self.anatomy(main))
        draw["waterfall"] = lambda: waterfall.draw(run, source.requests, main)
        if chart not in draw:
            raise LabError(f"there is no picture {chart!r}; there are {', '.join(draw)}")
        with style.styled():
            return Picture(draw[chart]())

    def anatomy(self, rps: float | None = None) -> Anatomy:
        """The life of a request at one level (None: the one nearest to 2,000 RPS). Raises
        `LabError` for a run that was seen from outside, where nobody can stamp a step."""
        from harness.views import style

        if self.settings.outside:
            raise LabError(
                "the servers of this run were seen from outside, where no step can be stamped; "
                "table() has what was seen"
            )
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


def _name(run: Run, slot: int) -> str:
    return slot_names(run.settings)[slot]


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
        "rps": trial.rps, "round": trial.round, "backend": trial.name, "class": trial.class_,
        "valid": trial.valid,
    }  # fmt: skip
    design: Design = "blocks" if trial.blocks else "trials"
    return row | {title: ordered_value(trial, m.path) for title, m in shown("notebook", design)}
