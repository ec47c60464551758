"""Progress of a run: a live view on a terminal, plain lines in a pipe.

Of a run in blocks the intervals are shown as they are so far: each restart makes them narrower.
They are for whoever waits, to see whether it will be enough; no verdict is shown, since a run that
ends when a verdict pleases would be wrong too often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from harness.core.record import Settings, Trial
from harness.core.units import duration, microseconds, number, rate, share
from harness.core.wording import NOT_ANSWERED, response_words, slot_names
from harness.designs.trials import Planned, expected_s, name_of, plan_trials
from harness.drivers import request_log as L
from harness.measure.build_trial import quantiles
from harness.measure.run import Watcher
from harness.measure.trial import Progress as TrialProgress
from harness.studies.compare.provisional import Known, Provisional, Slots
from harness.targets.sampler import Observation

_RECENT_NS = 1_000_000_000
_TREND_LENGTH = 40  # looks, of which there are four a second
_WIDTHS = 30  # restarts
_TRENDS = "▁▂▃▄▅▆▇█"


@contextmanager
def make_watcher(
    console: Console, settings: Settings, pairs: Sequence[Slots] | None = None
) -> Iterator[Watcher]:
    """A live view on a terminal, else a line for each trial. `pairs`: the slots that are compared,
    where they are not the first and each other."""
    if not console.is_terminal:
        yield PlainWatcher(console, settings, pairs)
        return
    view = LiveView(settings, pairs)
    # It redraws only when told to: a thread that redraws by itself would compete with the server.
    with Live(view.render(), console=console, auto_refresh=False, transient=True) as live:
        view.live = live
        yield view


def outcome_words(trial: Trial, name: str = "") -> str:
    """One line on a trial that has ended; `name`: of its slot, where that is another."""
    client = trial.client
    words = (
        f"{name or trial.name}, {rate(trial.rps)}, round {trial.round}: {trial.class_}, "
        f"success {share(client.success_rate)}, "
        f"p50 {response_words(client, 'p50')}, p99 {response_words(client, 'p99')}"
    )
    return words + (f" ({trial.invalid_reason})" if trial.invalid_reason else "")


class PlainWatcher:
    """A line on standard error for each trial, and one for each restart in blocks."""

    def __init__(
        self, console: Console, settings: Settings, pairs: Sequence[Slots] | None = None
    ) -> None:
        self._console = console
        self._provisional = Provisional(settings, pairs)
        self._names = slot_names(settings)
        self._number = self._total = 0

    def trial_begins(self, planned: Planned, number: int, total: int) -> None:
        self._number, self._total = number, total

    def progress(self, progress: TrialProgress) -> None:
        pass

    def trial_ended(self, trial: Trial) -> None:
        self._say(
            f"trial {self._number}/{self._total} {outcome_words(trial, self._names[trial.slot])}"
        )
        self._number += 1  # a restart in blocks comes to several
        if self._provisional.add(trial):
            told = [f"{known.name} {known.words()}" for known in self._provisional.known]
            self._say(": ".join(filter(None, [self._provisional.title, "; ".join(told)])))

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


class LiveView:
    """Progress over the trials with the time left, the trial in progress with its trends, and what
    the intervals of a run in blocks are so far."""

    def __init__(self, settings: Settings, pairs: Sequence[Slots] | None = None) -> None:
        self.live: Live | None = None
        self._provisional = Provisional(settings, pairs)
        self._so_far: list[Text] = []
        self._names = slot_names(settings)
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
        self._head = Text()
        self._figures: list[Text] = []
        self._last = Text()
        self._looks: list[Look] = []
        self._threads: list[float] = []
        self._queue: list[float] = []
        self._seen = 0  # observations of this trial that were shown

    def render(self) -> Group:
        return Group(self._bar, self._head, *self._figures, self._last, *self._so_far)

    def trial_begins(self, planned: Planned, number: int, total: int) -> None:
        self._looks, self._figures, self._threads, self._queue = [], [], [], []
        self._seen = 0
        self._total = total  # it grows when a round is repeated
        self._bar.update(self._task, total=total)
        who = name_of(planned, self._names)
        self._head = Text(f"{who} at {rate(planned.rps)}, round {planned.round}")
        self._refresh()

    def progress(self, progress: TrialProgress) -> None:
        now = look(progress.request_log, progress.planned.rps)
        if now is not None:
            self._looks = [*self._looks[1 - _TREND_LENGTH :], now]
        self._keep_peaks(progress.observations)
        self._figures = self._describe()
        self._refresh()

    def trial_ended(self, trial: Trial) -> None:
        self._done += 1
        style = "green" if trial.class_ == "sound" else "yellow"
        words = outcome_words(trial, self._names[trial.slot])
        self._last = Text(f"last: {words}", style=style, overflow="ellipsis")
        if self._provisional.add(trial):
            self._so_far = [Text(self._provisional.title, style="dim"),
                            *map(_known_line, self._provisional.known)]  # fmt: skip
        elif not trial.blocks:
            self._so_far = []
        self._refresh()

    def _refresh(self) -> None:
        elapsed_s = monotonic() - self._began
        per_trial_s = elapsed_s / self._done if self._done else self._trial_s
        left = f"about {duration(per_trial_s * (self._total - self._done))} left"
        self._bar.update(self._task, completed=self._done, left=left)
        if self.live is not None:
            self.live.update(self.render(), refresh=True)

    def _describe(self) -> list[Text]:
        """A line for each figure: its name, its value now, and how it went."""
        if not self._looks:
            return [Text("  waiting for the first answers")]
        now, looks = self._looks[-1], self._looks
        p99s = [one.p99_us for one in looks if one.p99_us is not None]
        lines = [
            _line("answered ok", f"{number(now.ok_per_s)}/s", trend([x.ok_per_s for x in looks])),
            _line("success", share(now.success), trend([x.success for x in looks], top=1.0)),
            _line("p99", now.p99_words(), trend(p99s)),
        ]
        for name, peaks in (("threads", self._threads), ("queue depth", self._queue)):
            if peaks:
                lines.append(_line(name, number(peaks[-1]), trend(peaks)))
        return lines

    def _keep_peaks(self, observations: list[Observation]) -> None:
        """Peaks of the server's steps since the last look, so that all trends have one scale."""
        samples = [o.server for o in observations[self._seen :]]
        self._seen = len(observations)
        threads = [float(sample.threads_step_peak) for sample in samples]
        depths = [float(s.queue_step_max) for s in samples if s.queue_step_max is not None]
        for kept, values in ((self._threads, threads), (self._queue, depths)):
            if values:
                kept.append(max(values))
                del kept[:-_TREND_LENGTH]


def _line(name: str, value: str, bars: str) -> Text:
    return Text(f"  {name:<12}{value:>12}  {bars}", overflow="ellipsis", no_wrap=True)


def _known_line(known: Known) -> Text:
    """A figure so far, and how its interval shrank."""
    bars = trend([*known.widths][-_WIDTHS:])
    return Text(f"  {known.name:<9} {known.words():<36} {bars}", overflow="ellipsis", no_wrap=True)


@dataclass(frozen=True, slots=True)
class Look:
    """The last second of a trial, as seen by the generator; `p99_us` of the response
    times of all that ended, None where it lies among the failures."""

    ok_per_s: float
    success: float
    p99_us: float | None

    def p99_words(self) -> str:
        """`1.31 ms`, or `not answered`."""
        return NOT_ANSWERED if self.p99_us is None else microseconds(self.p99_us)


def look(log: L.PhaseLog, rps: float) -> Look | None:
    """The last second; None before anything has ended.

    Only as many rows are looked at as a second can have, so that it costs the same (some 0.2 ms at
    10,000 RPS) however long a trial is: with two CPUs it is the server's that pays for it.
    """
    columns = [_recent_rows(part, rps) for part in log.parts]
    code, ended, intended = (np.concatenate(each) for each in zip(*columns, strict=True))
    latest = int(ended.max(initial=L.NOT_YET))
    if latest <= 0:
        return None
    recent = (code != 0) & (ended > latest - _RECENT_NS)
    outcomes, times_ns = code[recent] % L.DETAIL, (ended - intended)[recent]
    ok_ns = times_ns[outcomes == L.OK]
    seconds = min(latest, _RECENT_NS) / 1e9
    p99_us = quantiles(ok_ns / 1e3, len(outcomes) - len(ok_ns)).p99
    return Look(len(ok_ns) / seconds, len(ok_ns) / max(1, len(outcomes)), p99_us)


def _recent_rows(log: L.RequestLog, rps: float) -> list[npt.NDArray[np.int64]]:
    """Codes, ends and intended times of as many rows as a second can have, up to the next to be
    sent."""
    cursor = log.header[L.CURSOR]
    first = max(0, cursor - int(2 * rps) - 100)
    return [
        np.frombuffer(log.column(c), dtype=np.int64)[first:cursor]
        for c in (L.CODE, L.ENDED, L.INTENDED)
    ]


def trend(values: list[float], top: float | None = None) -> str:
    """A small line of bars, scaled from 0 to the largest, or to `top`."""
    top = max(values, default=0.0) if top is None else top
    if top <= 0:
        return _TRENDS[0] * len(values)
    last = len(_TRENDS) - 1
    return "".join(_TRENDS[min(last, round(value / top * last))] for value in values)
