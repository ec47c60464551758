"""The course's own pictures: each with callouts, and with a text that says what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.core.wording import slot_names
from harness.session.experiment import Experiment, Picture
from harness.views import style

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

_BIN_S = 0.5
_MARKS = ("-", "--", "-.", ":")


@dataclass(frozen=True, slots=True)
class Drawing(Picture):
    """A picture and its text alternative."""

    alt: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        shown = {"image/png": self._repr_png_(), "text/plain": self.alt}
        return shown, {"image/png": {"alt": self.alt}}

    def __repr__(self) -> str:
        return self.alt


def callout(axes: Axes, text: str, at: tuple[float, float], beside: tuple[float, float]) -> None:
    """Words `beside` what they are about, and an arrow to it."""
    axes.annotate(
        text, xy=at, xytext=beside, fontsize=8.8, color=style.INK, ha="left", va="center",
        arrowprops={"arrowstyle": "->", "color": style.INK, "linewidth": 0.9},
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": style.FAINT},
    )  # fmt: skip


class Goodput:
    """Good answers a second over the time of a run, of each of its servers: those that came while
    their client was still there. From raw rows, all valid trials together, in half seconds."""

    def __init__(self, experiment: Experiment, capacity_rps: float) -> None:
        self._names = slot_names(experiment.settings)
        self._capacity_rps = capacity_rps
        self._until_s = experiment.settings.duration_s
        self.rps = {name: self._of(experiment, slot) for slot, name in enumerate(self._names)}

    def _of(self, experiment: Experiment, slot: int) -> npt.NDArray[np.float64]:
        rows = experiment.requests
        trials = [t for t in experiment.run.trials if t.slot == slot and t.valid]
        of = rows[(rows["slot"] == slot) & rows["round"].isin([t.round for t in trials])]
        good = of[of["outcome"] == "ok"]
        answered_s = (good["intended_us"] + good["response_us"]) / 1e6
        edges = np.arange(0, self._until_s + _BIN_S / 2, _BIN_S)
        counts, _ = np.histogram(answered_s, edges)
        return counts / _BIN_S / max(1, len(trials))

    def collapsed_s(self, name: str) -> float | None:
        """From when on it stayed under a tenth of the capacity, in seconds; None: it did not."""
        low = self.rps[name] < self._capacity_rps / 10
        high = np.flatnonzero(~low)
        first = 0 if high.size == 0 else int(high[-1]) + 1
        return first * _BIN_S if first < low.size else None

    def plot(self) -> Drawing:
        """One line for each server, and the capacity."""
        with style.styled():
            figure = style.new_figure(8.0, 4.4)
            axes = figure.subplots()
            colours = (style.LIGHT, style.DARK, *style.OTHERS)
            for name, colour, mark in zip(self._names, colours, _MARKS, strict=False):
                at_s = (np.arange(self.rps[name].size) + 0.5) * _BIN_S
                axes.plot(at_s, self.rps[name], mark, color=colour, label=name, linewidth=2)
            axes.axhline(self._capacity_rps, color="#666666", linewidth=1)
            self._explain(axes)
            axes.set_xlabel("seconds since the load began")
            axes.set_ylabel("answers in time, a second")
            axes.set_ylim(0, self._capacity_rps * 1.3)
            axes.set_xlim(0, self._until_s)
            figure.legend(loc="outside lower center", ncols=4)
            style.head(figure, self._title(), "Counted from the rows of a run, in half seconds")
            return Drawing(figure, f"{self._title()}. {self._read_out()}")

    def _explain(self, axes: Axes) -> None:
        capacity = self._capacity_rps
        callout(axes, f"capacity: {capacity:,.0f} a second", (self._until_s * 0.72, capacity),
                (self._until_s * 0.62, capacity * 1.18))  # fmt: skip
        for name in self._collapsed():
            at_s = self.collapsed_s(name)
            assert at_s is not None
            callout(axes, f"queue of {name}: the workers are busy\nfor clients who have left",
                    (at_s + _BIN_S / 2, 4), (self._until_s * 0.5, capacity * 0.35))  # fmt: skip
            break

    def _collapsed(self) -> Sequence[str]:
        return [name for name in self._names if self.collapsed_s(name) is not None]

    def _title(self) -> str:
        gone = self._collapsed()
        if not gone:
            return "Good answers over time: no queue collapses in this run"
        return f"Good answers over time: {', '.join(gone)} collapses, though its workers are busy"

    def _read_out(self) -> str:
        last = {name: rps[-1] for name, rps in self.rps.items()}
        ends = "; ".join(f"{name}: {rps:,.0f}" for name, rps in last.items())
        return f"Answers a second in the last half second, of {self._capacity_rps:,.0f}: {ends}."
