"""Where a series steps to another level.

The place is that of the largest standardised difference of mean ranks before and after (Pettitt
1979, "A non-parametric approach to the change-point problem": ranks, so that one disturbed run
does not pass for a step); whether it is one is decided by permuting the series, which needs no
distribution (Antoch and Huskova 2001, "Permutation tests in change point analysis"). Each part is
searched again (binary segmentation: Vostrikova 1981). A series without a step is accused with a
chance of about `ALPHA`; the tests hold it to that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

ALPHA = 0.01
LEAST_SIDE = 3  # runs on each side of a step: one or two are an episode, not a level
LEAST_RUNS = 10  # below, not even a perfect step is rarer than ALPHA by chance: 2 / C(9, 4) = 1.6 %
_PERMUTATIONS = 999


@dataclass(frozen=True, slots=True)
class Step:
    """A step before the value at `index`: medians of the levels on both sides, and the chance of
    so large a difference without a step."""

    index: int
    before: float
    after: float
    p_value: float

    @property
    def ratio(self) -> float:
        """after / before; infinite from 0."""
        return self.after / self.before if self.before else math.inf


def find_steps(values: Sequence[float], seed: int = 1) -> list[Step]:
    """The steps of a series, in order. Values in any unit; `seed` is that of the permutations."""
    places = sorted(_search(list(values), 0, len(values), seed))
    edges = [0, *(place for place, _ in places), len(values)]
    return [
        Step(place, median(values[edges[i] : place]), median(values[place : edges[i + 2]]), p)
        for i, (place, p) in enumerate(places)
    ]


def _search(values: list[float], start: int, stop: int, seed: int) -> list[tuple[int, float]]:
    n = stop - start
    if n < LEAST_RUNS:
        return []
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(values[start:stop])
    if ranks.min() == ranks.max():
        return []
    curve = _differences(ranks[None, :] - ranks.mean())[0]
    best = int(np.argmax(curve))
    null = _null(n, seed)
    if len(set(values[start:stop])) < n:  # ties: the null of distinct ranks does not hold
        shuffled = np.random.default_rng(seed).permuted(
            np.tile(ranks - ranks.mean(), (_PERMUTATIONS, 1)), axis=1
        )
        null = _differences(shuffled).max(axis=1)
    p = (1 + int((null >= curve[best] - 1e-9).sum())) / (1 + _PERMUTATIONS)
    if p > ALPHA:
        return []
    place = start + best + LEAST_SIDE
    left, right = (_search(values, a, b, seed) for a, b in ((start, place), (place, stop)))
    return [*left, (place, p), *right]


@lru_cache(maxsize=256)
def _null(n: int, seed: int) -> Floats:
    """The largest difference in each of many random orders of n distinct ranks."""
    import numpy as np

    ranks = np.arange(n, dtype=np.float64) - (n - 1) / 2
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.tile(ranks, (_PERMUTATIONS, 1)), axis=1)
    found: Floats = _differences(shuffled).max(axis=1)
    return found


def _differences(centred: Floats) -> Floats:
    """|difference of means before and after|, standardised, at each place; one row a series."""
    import numpy as np

    n = centred.shape[1]
    sizes = np.arange(LEAST_SIDE, n - LEAST_SIDE + 1)
    sums = np.cumsum(centred, axis=1)[:, sizes - 1]
    found: Floats = np.abs(sums) / np.sqrt(sizes * (n - sizes) / n)
    return found
