"""What the terminal shows while a run is on: a live view, or plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from harness.cli.units import duration, microseconds, rate
from harness.experiment.plan import PlannedTrial, expected_s, plan_trials
from harness.experiment.run import Watcher
from harness.experiment.trial import Progress as TrialProgress
from harness.load import ledger as L
from harness.record import Settings, Trial

_RECENT_NS = 1_000_000_000
_TRENDS = "▁▂▃▄▅▆▇█"


@contextmanager
def make_watcher(console: Console, settings: Settings) -> Iterator[Watcher]:
    """A live view on a terminal, else a line for each trial."""
    if not console.is_terminal:
        yield PlainWatcher(console)
        return
    view = LiveView(settings)
    # It redraws only when told to: a thread that redraws by itself would compete with the server.
    with Live(view.render(), console=console, auto_refresh=False, transient=True) as live:
        view.live = live
        yield view


def outcome_words(trial: Trial) -> str:
    """One line on a trial that has ended."""
    client = trial.client
    response = client.response_us
    words = (
        f"{trial.backend}, {rate(trial.rps)}, round {trial.round}: {trial.class_}, "
        f"success {client.success_rate or 0:.1%}, "
        f"p50 {microseconds(response.p50)}, p99 {microseconds(response.p99)}"
    )
    return words + (f" ({trial.invalid_reason})" if trial.invalid_reason else "")


class PlainWatcher:
    """A line on standard error for each trial."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._place = ""

    def trial_begins(self, planned: PlannedTrial, number: int, total: int) -> None:
        self._place = f"trial {number}/{total}"

    def progress(self, progress: TrialProgress) -> None:
        pass

    def trial_ended(self, trial: Trial) -> None:
        self._console.print(
            f"{self._place} {outcome_words(trial)}", highlight=False, soft_wrap=True
        )


class LiveView:
    """Progress over the trials with the time left, and the trial in progress with its trends."""

    def __init__(self, settings: Settings) -> None:
        self.live: Live | None = None
        self._total = len(plan_trials(settings))
        self._trial_s = expected_s(settings) / self._total
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._task = self._bar.add_task("trials", total=self._total, left="")
        self._began = monotonic()
        self._done = 0
        self._current = Text()
        self._last = Text()
        self._trend: list[float] = []

    def render(self) -> Group:
        return Group(self._bar, self._current, self._last)

    def trial_begins(self, planned: PlannedTrial, number: int, total: int) -> None:
        self._trend = []
        self._total = total  # it grows when a round is repeated
        self._bar.update(self._task, total=total)
        self._current = Text(f"{planned.backend} at {rate(planned.rps)}, round {planned.round}")
        self._refresh()

    def progress(self, progress: TrialProgress) -> None:
        self._current = Text(self._describe(progress), overflow="ellipsis", no_wrap=True)
        self._refresh()

    def trial_ended(self, trial: Trial) -> None:
        self._done += 1
        style = "green" if trial.class_ == "sound" else "yellow"
        self._last = Text(f"last: {outcome_words(trial)}", style=style, overflow="ellipsis")
        self._refresh()

    def _refresh(self) -> None:
        elapsed_s = monotonic() - self._began
        per_trial_s = elapsed_s / self._done if self._done else self._trial_s
        left = f"about {duration(per_trial_s * (self._total - self._done))} left"
        self._bar.update(self._task, completed=self._done, left=left)
        if self.live is not None:
            self.live.update(self.render(), refresh=True)

    def _describe(self, progress: TrialProgress) -> str:
        planned = progress.planned
        head = f"{planned.backend} at {rate(planned.rps)}, round {planned.round}"
        recent = recent_times_us(progress.ledger)
        if len(recent) == 0:
            return f"{head}: waiting for the first answers"
        p99 = float(np.quantile(recent, 0.99))
        self._trend = [*self._trend[-9:], p99]
        words = f"{head}: {rate(len(recent))}, p99 {microseconds(p99)} {trend(self._trend)}"
        if progress.observations:
            sample = progress.observations[-1].server
            words += f" {sample.threads_step_peak} threads"
            if sample.queue_step_max is not None:
                words += f", queue {sample.queue_step_max}"
        return words


def recent_times_us(ledger: L.Ledger) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Response times, in microseconds, of what ended ok within the last second."""
    cursor = ledger.header[L.CURSOR]
    if cursor == 0:
        return np.empty(0)
    first = max(0, cursor - 40_000)  # enough for a second at any rate that can be sent
    code, ended, intended = (
        np.frombuffer(ledger.column(c), dtype=np.int64)[first:cursor]
        for c in (L.CODE, L.ENDED, L.INTENDED)
    )
    recent = (code % L.DETAIL == L.OK) & (ended > ended.max() - _RECENT_NS)
    return np.asarray((ended - intended)[recent] / 1e3, dtype=np.float64)


def trend(values: list[float]) -> str:
    """A small line of bars, scaled from 0 to the largest."""
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    last = len(_TRENDS) - 1
    return "".join(_TRENDS[min(last, round(value / top * last))] for value in values)
