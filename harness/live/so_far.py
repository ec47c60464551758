"""The trials of a run that have ended, made into the states of its page. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.core.metrics import BY_PATH
from harness.core.record import Settings, Trial
from harness.core.trials import comparable
from harness.core.units import rate, share
from harness.core.wording import listed, response_words, slot_names
from harness.designs.stopping import FIGURES, ratio_confidence_words
from harness.live.state import (
    PERCENTILES,
    Curve,
    Ended,
    Interval,
    Level,
    Pair,
    Ratio,
    Server,
    State,
    TrialLine,
)
from harness.stats.intervals import Estimate
from harness.studies.compare.provisional import Known, Provisional, Slots
from harness.views.colours import slot_colours


class SoFar:
    """What has ended. Every contender is held against the first server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = slot_names(settings)
        self._trials: list[Trial] = []
        self._pairs: dict[tuple[float, Slots], Pair] = {}
        self._provisional: dict[Slots, Provisional] = {
            (0, slot): Provisional(settings, [(0, slot)]) for slot in range(1, len(self._names))
        }
        self._states = 0

    def add(self, trial: Trial) -> None:
        """A trial has ended. One that is whole puts an end to the blocks of its level, which is
        measured anew."""
        if not trial.blocks:
            self._trials = [t for t in self._trials if t.rps != trial.rps or not t.blocks]
            self._pairs = {key: pair for key, pair in self._pairs.items() if key[0] != trial.rps}
        self._trials.append(trial)
        for slots, provisional in self._provisional.items():
            if provisional.add(trial):
                ratios = [_ratio(known) for known in provisional.known]
                title = provisional.title.removeprefix("provisional, ")
                self._pairs[trial.rps, slots] = Pair(*slots, title, ratios)

    def state(self, progress: str, now: str, ended: Ended | None = None) -> State:
        """The next state."""
        self._states += 1
        settings = self._settings
        colours = slot_colours(settings.backends)
        return State(
            number=self._states,
            servers=[Server(*each) for each in zip(self._names, colours, strict=True)],
            rates=listed([rate(rps) for rps in settings.rps]),
            interval=ratio_confidence_words(settings),
            in_blocks=settings.design == "blocks",
            progress=progress,
            now=now,
            levels=[found for rps in settings.rps if (found := self._level(rps)).curves],
            trials=[self._line(trial) for trial in self._trials],
            ended=ended,
        )

    def _level(self, rps: float) -> Level:
        curves = [_curve(trial) for trial in self._trials if trial.rps == rps]
        return Level(rps, curves, [pair for (at, _), pair in self._pairs.items() if at == rps])

    def _line(self, trial: Trial) -> TrialLine:
        client = trial.client
        return TrialLine(
            server=self._names[trial.slot],
            rate=rate(trial.rps),
            round=trial.round,
            class_=trial.class_,
            success=share(client.success_rate),
            p50=response_words(client, "p50"),
            p99=response_words(client, "p99"),
            reason=trial.invalid_reason or "",
        )


def _curve(trial: Trial) -> Curve:
    times = [getattr(trial.client.response_us, name) for name in PERCENTILES]
    return Curve(trial.slot, times, comparable(trial))


def _ratio(known: Known) -> Ratio:
    title = BY_PATH[FIGURES[known.name]].title
    return Ratio(title, known.words(), _intervals(known.after))


def _intervals(after: Sequence[tuple[int, Estimate]]) -> list[Interval]:
    """Infinite ends are no ends that could be drawn."""
    return [
        Interval(restarts, *map(_finite, (estimate.value, estimate.low, estimate.high)))
        for restarts, estimate in after
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
