"""The live view of a search: time left, the trial in progress, the bounds so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from harness.core.record import Trial
from harness.core.units import duration, rate
from harness.designs.stopping import Budget
from harness.designs.trials import Planned
from harness.measure.run import Watcher
from harness.measure.trial import Progress as TrialProgress
from harness.terminal.live import look, outcome_words, trend

Known = Callable[[], list[str]]  # what the search knows now, a line each


@contextmanager
def watch_search(console: Console, budget: Budget, known: Known) -> Iterator[Watcher]:
    """A live view on a terminal, else a line for each trial."""
    if not console.is_terminal:
        yield PlainSearch(console, budget)
        return
    view = LiveSearch(budget, known)
    with Live(view.render(), console=console, auto_refresh=False, transient=True) as live:
        view.live = live
        yield view


def place(planned: Planned) -> str:
    """A trial in progress, named: backend, rate, and its workload or workers if they vary."""
    words = f"{planned.name} at {rate(planned.rps)}"
    if planned.arms[0].workload is not None:
        words += f", {planned.arms[0].workload}"
    if planned.arms[0].workers is not None:
        words += f", {planned.arms[0].workers} workers"
    return words


class PlainSearch:
    """A line on standard error for each trial, with the time left."""

    def __init__(self, console: Console, budget: Budget) -> None:
        self._console = console
        self._budget = budget
        self._head = ""

    def trial_begins(self, planned: Planned, number: int, total: int) -> None:
        own = "".join(
            f" {what}"
            for what in (
                planned.arms[0].workload,
                planned.arms[0].workers and f"{planned.arms[0].workers} workers",
            )
            if what
        )
        left = f"at most {duration(self._budget.left_s)} left"
        self._head = f"trial {number} of about {total}, {left}:{own}"

    def progress(self, progress: TrialProgress) -> None:
        pass

    def trial_ended(self, trial: Trial) -> None:
        self._console.print(f"{self._head} {outcome_words(trial)}", highlight=False, soft_wrap=True)


class LiveSearch:
    """A bar of the time, the trial in progress with its trend, the last one, what is known."""

    def __init__(self, budget: Budget, known: Known) -> None:
        self.live: Live | None = None
        self._budget, self._known = budget, known
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[left]}"),
        )
        self._task = self._bar.add_task("trial 1", total=budget.seconds, left="")
        self._current, self._last = Text(), Text()
        self._trend: list[float] = []

    def render(self) -> Group:
        known = [Text(line, overflow="ellipsis", no_wrap=True) for line in self._known()]
        return Group(self._bar, self._current, self._last, *known)

    def trial_begins(self, planned: Planned, number: int, total: int) -> None:
        self._trend = []
        self._bar.update(self._task, description=f"trial {number} of about {total}")
        self._current = Text(place(planned))
        self._refresh()

    def progress(self, progress: TrialProgress) -> None:
        now = look(progress.request_log, progress.planned.rps)
        words = f"{place(progress.planned)}: waiting for the first answers"
        if now is not None:
            if now.p99_us is not None:
                self._trend = [*self._trend[-9:], now.p99_us]
            words = f"{place(progress.planned)}: {rate(now.ok_per_s)}, p99 {now.p99_words()} "
            words += trend(self._trend)
        self._current = Text(words, overflow="ellipsis", no_wrap=True)
        self._refresh()

    def trial_ended(self, trial: Trial) -> None:
        style = "green" if trial.class_ == "sound" else "yellow"
        self._last = Text(f"last: {outcome_words(trial)}", style=style, overflow="ellipsis")
        self._refresh()

    def _refresh(self) -> None:
        left_s = self._budget.left_s
        done = self._budget.seconds - left_s
        self._bar.update(self._task, completed=done, left=f"at most {duration(left_s)} left")
        if self.live is not None:
            self.live.update(self.render(), refresh=True)
