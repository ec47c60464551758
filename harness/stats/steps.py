"""Where series that are shown together step to another level.

The place is that of the largest standardised difference of mean ranks before and after (Pettitt
1979, "A non-parametric approach to the change-point problem": ranks, so that one disturbed run
does not pass for a step); whether it is one is decided by permuting the series, which needs no
distribution (Antoch and Huskova 2001, "Permutation tests in change point analysis"), with p-values
that are never below what the permutations can show (Phipson and Smyth 2010). Each part is searched
again (binary segmentation: Vostrikova 1981).

Who looks at many series sees a step in one of them sooner: each is tested at `ALPHA` divided by
their number (Bonferroni), so that a page of noise shows a step with a chance of about `ALPHA`.

A drift is not a step. What stands between two other steps (or the ends) must be explained better
by a jump at that place than by a straight line, by six or more on the scale of the information
criterion (Schwarz 1978; "strong" in Kass and Raftery 1995, "Bayes factors"; steps and trends in
series are told apart like this by Beaulieu and Killick 2018, "Distinguishing trends and shifts from
memory in climate data"). A residual counts for no more than three standard deviations, and the line
is the one of median slope (Theil 1950, Sen 1968), so that a wild run decides nothing here either.
The tests hold all of it to simulated series.
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

ALPHA = 0.01  # of all series together
LEAST_SIDE = 3  # runs on each side of a step: one or two are an episode, not a level
_SCREEN = 999  # permutations after which most series are seen to be level
_FINE = 5  # permutations, in multiples of those that the level of a single series takes
_AT_ONCE = 2_000_000  # permuted values held in memory
_STRONG = 6.0  # in favour of a jump over a line, twice the logarithm of a Bayes factor
_FARTHEST = 3.0  # standard deviations that a residual counts for at most
_MAD = 1.4826  # of a normal distribution's standard deviation to its median absolute deviation


@dataclass(frozen=True, slots=True)
class Step:
    """A step before the value at `index`: medians of the levels on both sides, and the chance of
    so large a difference without a step (of this one series, whatever others there are)."""

    index: int
    before: float
    after: float
    p_value: float

    @property
    def ratio(self) -> float:
        """after / before; infinite from 0, and 0 from infinity."""
        if math.isinf(self.before):
            return 0.0
        return self.after / self.before if self.before else math.inf


@dataclass(frozen=True, slots=True)
class Changes:
    """The steps of a series, in order. `drifts`: it changes, and no single place stands out."""

    steps: tuple[Step, ...] = ()
    drifts: bool = False


def find_changes(together: Sequence[Sequence[float]], seed: int = 1) -> list[Changes]:
    """The trend of each of some series that are shown together, in any units. Values may be
    infinite: what is not answered is longer than whatever is.

    A series without two different values cannot step, and does not count among them. `seed` is
    that of the permutations.
    """
    level = _level(together)
    return [_changes(list(values), level, seed) for values in together]


def least_runs(together: Sequence[Sequence[float]]) -> int:
    """From how many runs on a perfect step is rarer by chance than the tests of these series
    allow: 10 for one series, 16 for 18."""
    n, level = 2 * LEAST_SIDE, _level(together)
    while _rarest(n) > level:
        n += 1
    return n


def _level(together: Sequence[Sequence[float]]) -> float:
    return ALPHA / max(1, sum(len(set(values)) > 1 for values in together))


def _rarest(n: int) -> float:
    """The chance of a perfect step in the middle of n runs in random order: up or down, and where n
    is odd, at either of two places."""
    return (2 + 2 * (n % 2)) / math.comb(n, n // 2)


def _changes(values: list[float], level: float, seed: int) -> Changes:
    found = dict(_search(values, 0, len(values), level, seed))
    places = _abrupt(_finite(values), sorted(found))
    edges = [0, *places, len(values)]
    steps = tuple(
        Step(
            place, median(values[edges[i] : place]), median(values[place : edges[i + 2]]),
            found[place],
        )
        for i, place in enumerate(places)
    )  # fmt: skip
    return Changes(steps, drifts=bool(found) and not steps)


# ---- Is there a change, and where? ---------------------------------------------------------------


def _search(
    values: list[float], start: int, stop: int, level: float, seed: int
) -> list[tuple[int, float]]:
    n = stop - start
    if n < 2 * LEAST_SIDE or _rarest(n) > level:
        return []
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(values[start:stop]) - (n + 1) / 2
    if ranks.min() == ranks.max():
        return []
    curve = _differences(ranks[None, :])[0]
    best = int(np.argmax(curve))
    p = _chance(ranks, float(curve[best]), level, seed)
    if p > level:
        return []
    place = start + best + LEAST_SIDE
    left, right = (
        _search(values, a, b, level, seed) for a, b in ((start, place), (place, stop))
    )  # fmt: skip
    return [*left, (place, p), *right]


def _chance(ranks: Floats, seen: float, level: float, seed: int) -> float:
    """How often a random order of these ranks shows a difference as large as the one seen.

    Few permutations tell most series to be level; the rest get as many as their level needs.
    """
    import numpy as np

    p, n = 1.0, len(ranks)
    tied = len(np.unique(ranks)) < n  # the null of distinct ranks does not hold
    for size, passes in ((_SCREEN, ALPHA), (max(_SCREEN, math.ceil(_FINE / level)), level)):
        null = _of_random_orders(ranks, size, seed) if tied else _null(n, size, seed)
        p = (1 + int((null >= seen - 1e-9).sum())) / (1 + size)
        if p > passes:
            break
    return p


@lru_cache(maxsize=256)
def _null(n: int, size: int, seed: int) -> Floats:
    """The largest difference in each of `size` random orders of n distinct ranks."""
    import numpy as np

    return _of_random_orders(np.arange(n, dtype=np.float64) - (n - 1) / 2, size, seed)


def _of_random_orders(centred: Floats, size: int, seed: int) -> Floats:
    import numpy as np

    generator = np.random.default_rng(seed)
    rows, found = max(1, _AT_ONCE // len(centred)), []
    for done in range(0, size, rows):
        shuffled = generator.permuted(np.tile(centred, (min(rows, size - done), 1)), axis=1)
        found.append(_differences(shuffled).max(axis=1))
    every: Floats = np.concatenate(found)
    return every


def _differences(centred: Floats) -> Floats:
    """|difference of means before and after|, standardised, at each place; one row a series."""
    import numpy as np

    n = centred.shape[1]
    sizes = np.arange(LEAST_SIDE, n - LEAST_SIDE + 1)
    sums = np.cumsum(centred, axis=1)[:, sizes - 1]
    found: Floats = np.abs(sums) / np.sqrt(sizes * (n - sizes) / n)
    return found


# ---- Is it a step? -------------------------------------------------------------------------------


def _finite(values: Sequence[float]) -> list[float]:
    """The values with something far above all others in place of what is infinite."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    far = max(known) + 10 * (max(known) - min(known)) + 1.0
    return [value if math.isfinite(value) else far for value in values]


def _abrupt(values: Sequence[float], places: list[int]) -> list[int]:
    """The places that a jump explains: the one that a line explains best is dropped, and its
    neighbours are looked at again over what is then between them."""
    import numpy as np

    while places:
        edges = [0, *places, len(values)]
        for_a_jump = [
            _in_favour_of_a_jump(np.array(values[edges[i] : edges[i + 2]]), place - edges[i])
            for i, place in enumerate(places)
        ]
        worst = int(np.argmin(for_a_jump))
        if for_a_jump[worst] >= _STRONG:
            break
        places = places[:worst] + places[worst + 1 :]
    return places


def _in_favour_of_a_jump(values: Floats, place: int) -> float:
    """The information criterion of a straight line less that of a jump at `place`."""
    import numpy as np

    n = len(values)
    before, after = values[:place], values[place:]
    of_jump = np.concatenate([before - np.median(before), after - np.median(after)])
    first, second = np.triu_indices(n, 1)
    slope = np.median((values[second] - values[first]) / (second - first))
    of_line = values - slope * np.arange(n)
    of_line = of_line - np.median(of_line)
    deviation = _MAD * min(float(np.median(np.abs(r))) for r in (of_jump, of_line))
    least = 1e-9 * float(np.ptp(values))  # counters can agree exactly
    most = max(_FARTHEST * deviation, least)
    line, jump = (float((np.minimum(np.abs(r), most) ** 2).sum()) for r in (of_line, of_jump))
    # A jump has a parameter more than a line: its place.
    return n * math.log(max(line, least**2) / max(jump, least**2)) - math.log(n)
