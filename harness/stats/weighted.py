"""Ranks and quantiles over rows that may stand for more requests than one. Pure.

The rows of a run are whole: one for each request. Those that git keeps of a long run are thinned
(`harness.thin`), and a column `weight` says how many requests each stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

WEIGHT = "weight"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def weights(rows: pd.DataFrame) -> Ints:
    """How many requests each row stands for: 1 where the column is absent."""
    if WEIGHT not in rows:
        return np.ones(len(rows), dtype=np.int64)
    return rows[WEIGHT].to_numpy(dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Values in ascending order; `up_to`: how many requests have each of them or one before it."""

    values: Floats
    up_to: Ints

    @classmethod
    def of(cls, values: npt.ArrayLike, weight: Ints) -> Ranked:
        """Values in any order, each with its weight."""
        found = np.asarray(values, dtype=np.float64)
        order = np.argsort(found, kind="stable")
        return cls(found[order], np.cumsum(weight[order]))

    @property
    def total(self) -> int:
        """How many requests there are."""
        return int(self.up_to[-1]) if len(self.up_to) else 0

    def at(self, ranks: Ints) -> Floats:
        """The values of the requests at these ranks, from 0 to below `total`."""
        return self.values[np.searchsorted(self.up_to, ranks, side="right")]

    def quantile(self, share: float) -> float:
        """The least value that at least this share of the requests does not exceed; there must be
        one request or more."""
        rank = np.clip(np.ceil(share * self.total).astype(int) - 1, 0, self.total - 1)
        return float(self.at(rank))
