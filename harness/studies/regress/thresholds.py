"""Thresholds of a check: the largest loss of a metric that passes, the least value of another."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.core.errors import LabError
from harness.core.metrics import BY_PATH
from harness.core.record import Design

# Where nothing is asked for. A loss of 3 % of CPU is what ten rounds can tell on a quiet machine;
# latency is far noisier, and its tail noisier still. `python -m benchmarks.regress_power`.
DEFAULT_MAX_LOSS = {
    "client.success_rate": 0.01,
    "client.response_us.p50": 0.10,
    "client.response_us.p99": 0.25,
    "server.cpu_us_per_request.total": 0.03,
    "server.cpu_us_per_request.overhead": 0.05,
    "server.context_switches.per_s": 0.10,
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Metric path -> largest loss, as a share (0.1 is 10 % worse); metric path -> least value of
    the candidate, in the metric's unit. `named`: the metrics whose loss was asked for by name."""

    max_loss: dict[str, float]
    least: dict[str, float]
    named: frozenset[str] = frozenset()

    def of_design(self, design: Design) -> Thresholds:
        """The same for a run of that design: of blocks, a default about response times is about
        those of a typical block, by which small differences can be told."""
        if design != "blocks":
            return self
        losses = {
            path
            if path in self.named
            else path.replace(".response_us.", ".block_response_us."): loss
            for path, loss in self.max_loss.items()
        }
        return Thresholds(losses, self.least, self.named)

    def of_figures(self, seen: Iterable[str]) -> Thresholds:
        """Without the defaults about figures that nobody has seen; what was named stays."""
        there = {*seen, *self.named}
        losses = {path: loss for path, loss in self.max_loss.items() if path in there}
        return Thresholds(losses, self.least, self.named)


def parse_thresholds(
    max_loss: Iterable[str], least: Iterable[str], usual: bool = True
) -> Thresholds:
    """Thresholds of `METRIC=10%`, `METRIC=0.1` or `METRIC=off`, and `METRIC=VALUE`.

    Those of headline metrics that are not named keep their defaults, if `usual`; else there are no
    others. Raises `LabError`.
    """
    losses: dict[str, float] = dict(DEFAULT_MAX_LOSS) if usual else {}
    named = set()
    for path, text, value in _each("--max-loss", max_loss):
        if value == "off":
            losses.pop(path, None)
            continue
        loss = _number("--max-loss", text, value)
        if not 0 <= loss < 10:
            raise LabError(f"--max-loss {text}: a loss is from 0% to below 1000%")
        losses[path] = loss
        named.add(path)
    floors = {}
    for path, text, value in _each("--min", least):
        floors[path] = _number("--min", text, value)
    if not losses and not floors:
        raise LabError("every threshold is off, so there is nothing to check; leave one on")
    return Thresholds(losses, floors, frozenset(named))


def _each(option: str, texts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Path, the whole, and value of each. Raises `LabError` for a metric that is named twice."""
    seen: set[str] = set()
    for text in texts:
        path, value = _split(option, text)
        if path in seen:
            raise LabError(f"{option} names {path} more than once; name it once")
        seen.add(path)
        yield path, text, value


def _split(option: str, text: str) -> tuple[str, str]:
    path, found, value = text.partition("=")
    if not found or not value:
        raise LabError(f"{option} {text!r} is no threshold; write like {_EXAMPLES[option]}")
    if path not in BY_PATH:
        near = difflib.get_close_matches(path, BY_PATH, n=2, cutoff=0.4) or ["client.success_rate"]
        raise LabError(
            f"{option}: there is no metric {path!r}; did you mean {' or '.join(near)}? "
            "(names are those under `cells` in run.json)"
        )
    return path, value.strip()


def _number(option: str, text: str, value: str) -> float:
    percent = value.endswith("%")
    try:
        number = float(value.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise LabError(f"{option} {text!r}: {value!r} is no number; write like {_EXAMPLES[option]}")
    return number / 100 if percent else number


_EXAMPLES = {
    "--max-loss": "client.response_us.p99=10%",
    "--min": "client.success_rate=0.99",
}
