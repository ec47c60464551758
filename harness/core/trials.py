"""Which trials say something about their server, and which are a comparison's."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.record import Trial

# Below this share of ok the server did not keep up with the offered load.
SATURATED_BELOW = 0.99


def comparable(trial: Trial) -> bool:
    """Whether a trial says something about its server: the generator was not the limit."""
    return trial.valid and trial.class_ != "generator-limited"


def standard(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that were run as the settings have it, with no workload or workers of their own.

    Others measure something else, at whatever rate; cells and comparisons never mix them in.
    """
    return [t for t in trials if t.workload is None and t.workers is None]
