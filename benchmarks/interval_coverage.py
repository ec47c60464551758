"""Which interval for a few paired rounds? Coverage and width of six methods, by simulation.

    python -m benchmarks.interval_coverage [--runs 4000] [--seed 1] [--methods chosen]

Every distribution of within-round log ratios has the median 0, so an interval covers when it
contains a ratio of 1. Most are symmetric; those that are not (rounds of which one side alone is
delayed, log-normal noise) have their own median as the truth: the typical round as rounds come,
delays included. Printed for each method, distribution and number of rounds: coverage in percent,
and the median half-width of the interval of the ratio in percent, at a core standard deviation of
3 %. A dash: the method gives no interval. This is the evidence for the choice made in
harness/stats/intervals.py; `chosen` runs that very code. About half a minute.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.stats.intervals import ratio_estimate

Array: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[Array, Array]  # low and high ends of log ratios, one a run

SIGMA = 0.03
ROUNDS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20)


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Undisturbed rounds: log-normal ratios."""
    return SIGMA * rng.standard_normal(shape)


def student_t3(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Heavy tails: Student's t with 3 degrees of freedom."""
    return SIGMA * rng.standard_t(3, shape)


def contaminated(low: float, high: float) -> Callable[..., Array]:
    """One round in five has one of its two values (either) multiplied by a factor low to high."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        side = rng.choice([-1.0, 1.0], shape)
        shift: Array = side * np.log(rng.uniform(low, high, shape)) * (rng.random(shape) < 0.2)
        return normal(rng, shape) + shift

    return draw


def bimodal(distance: float) -> Callable[..., Array]:
    """Two equally likely machine states, `distance` standard deviations apart."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        state = rng.choice([-0.5, 0.5], shape)
        return normal(rng, shape) + state * distance * SIGMA

    return draw


def delayed(share: float, low: float, high: float) -> Callable[..., Array]:
    """That share of rounds has the contender's value, never the baseline's, multiplied by a factor
    low to high. The median is taken from two million rounds."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        shift: Array = np.log(rng.uniform(low, high, shape)) * (rng.random(shape) < share)
        return normal(rng, shape) + shift

    middle = float(np.median(draw(np.random.default_rng(0), (1, 2_000_000))))
    return lambda rng, shape: draw(rng, shape) - middle


def log_normal(sigma: float) -> Callable[..., Array]:
    """Skewed noise in the log ratios: log-normal about its median, with that sigma."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        noise: Array = SIGMA * (np.exp(sigma * rng.standard_normal(shape)) - 1)
        return noise

    return draw


DISTRIBUTIONS: dict[str, Callable[..., Array]] = {
    "normal": normal,
    "t3": student_t3,
    "x1.1-2": contaminated(1.1, 2.0),
    "x1.5-4": contaminated(1.5, 4.0),
    "bi 3s": bimodal(3),
    "bi 4s": bimodal(4),
    "bi 5s": bimodal(5),
    "bi 6s": bimodal(6),
    "bi 8s": bimodal(8),
    "bi 10s": bimodal(10),
    "20% x1.1-2": delayed(0.2, 1.1, 2.0),
    "20% x1.5-4": delayed(0.2, 1.5, 4.0),
    "30% x1.1-2": delayed(0.3, 1.1, 2.0),
    "30% x1.5-4": delayed(0.3, 1.5, 4.0),
    "40% x1.5-4": delayed(0.4, 1.5, 4.0),
    "logn 0.5": log_normal(0.5),
    "logn 1": log_normal(1.0),
    "logn 2": log_normal(2.0),
}


def student(x: Array) -> Interval | None:
    """Mean and t quantile (Student 1908)."""
    n = x.shape[1]
    half = stats.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / math.sqrt(n)
    centre = x.mean(axis=1)
    return centre - half, centre + half


def yuen(x: Array) -> Interval | None:
    """20 % trimmed mean, winsorised variance, t with h - 1 degrees (Yuen 1974)."""
    n = x.shape[1]
    cut = max(1, n // 5)
    h = n - 2 * cut
    if h < 2:
        return None
    x = np.sort(x, axis=1)
    winsorised = np.clip(x, x[:, [cut]], x[:, [n - cut - 1]]).std(axis=1, ddof=1)
    half = stats.t.ppf(0.975, h - 1) * winsorised * math.sqrt((n - 1) / (h * (h - 1)))
    centre = x[:, cut : n - cut].mean(axis=1)
    return centre - half, centre + half


def signed_rank(x: Array) -> Interval | None:
    """Walsh averages at the exact Wilcoxon level nearest to 95 % (Hodges and Lehmann 1963)."""
    n = x.shape[1]
    null = np.array([1.0])
    for rank in range(1, n + 1):
        longer = np.zeros(len(null) + rank)
        longer[: len(null)] += null / 2
        longer[rank:] += null / 2
        null = longer
    coverages = 1 - 2 * np.cumsum(null)[: len(null) // 2]
    if coverages[0] < 0.93:
        return None
    depth = int(np.argmin(np.abs(coverages - 0.95)))
    i, j = np.triu_indices(n)
    walsh = np.sort((x[:, i] + x[:, j]) / 2, axis=1)
    return walsh[:, depth], walsh[:, -1 - depth]


def interpolated_sign(x: Array) -> Interval | None:
    """Interpolated order statistics at 95 % (Hettmansperger and Sheather 1986)."""
    n = x.shape[1]
    coverage = 1 - 2 * stats.binom.cdf(np.arange(n), n, 0.5)  # index d - 1: [x_d, x_(n+1-d)]
    if coverage[0] < 0.93:
        return None
    x = np.sort(x, axis=1)
    if coverage[0] < 0.95:
        return x[:, 0], x[:, -1]
    d = int(np.sum(coverage >= 0.95))
    share = (coverage[d - 1] - 0.95) / (coverage[d - 1] - coverage[d])
    w = (n - d) * share / (d + (n - 2 * d) * share)
    return (1 - w) * x[:, d - 1] + w * x[:, d], (1 - w) * x[:, n - d] + w * x[:, n - d - 1]


def median_and_mad(x: Array) -> Interval | None:
    """Median and a multiple of the median absolute deviation, calibrated on normal samples."""

    def parts(sample: Array) -> tuple[Array, Array]:
        centre = np.median(sample, axis=1)
        return centre, np.median(np.abs(sample - centre[:, None]), axis=1)

    reference = np.random.default_rng(0).standard_normal((20_000, x.shape[1]))
    centre, spread = parts(reference)
    critical = np.quantile(np.abs(centre) / spread, 0.95)
    centre, spread = parts(x)
    return centre - critical * spread, centre + critical * spread


def chosen(x: Array) -> Interval | None:
    """The method of harness.stats.intervals, through its public function."""
    baseline = [1.0] * x.shape[1]
    ends: list[tuple[float, float]] = []
    for contender in np.exp(np.minimum(x, 700.0)).tolist():  # beyond, a ratio is infinite
        estimate = ratio_estimate(baseline, contender)
        if estimate is None or estimate.low is None or estimate.high is None:
            return None
        ends.append((estimate.low, estimate.high))
    logs = np.log(np.array(ends))
    return logs[:, 0], logs[:, 1]


METHODS: dict[str, Callable[[Array], Interval | None]] = {
    "Student t": student,
    "median+MAD": median_and_mad,
    "Yuen 20 %": yuen,
    "signed rank": signed_rank,
    "sign, interp.": interpolated_sign,
    "chosen": chosen,
}


def cell(interval: Interval | None) -> str:
    """Coverage of a log ratio of 0 and median half-width of the ratio, both in percent."""
    if interval is None:
        return f"{'-':>12}"
    low, high = interval
    coverage = 100 * float(np.mean((low <= 0) & (high >= 0)))
    with np.errstate(over="ignore"):  # some methods are that wide at n = 3
        half_width = 100 * float(np.median(np.exp(high) - np.exp(low))) / 2
    return f"{coverage:5.1f} {half_width:6.1f}" if half_width < 1e4 else f"{coverage:5.1f}   wide"


def main() -> None:
    """Print the table, one block for each number of rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=4000, help="simulated runs a cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--methods", default=",".join(METHODS), help="only these, by name")
    arguments = parser.parse_args()
    names = arguments.methods.split(",")
    if unknown := set(names) - set(METHODS):
        parser.error(f"there is no method {min(unknown)!r}; take some of {', '.join(METHODS)}")
    for n in ROUNDS:
        # One stream for each n: the same samples for every method.
        rng = np.random.default_rng([arguments.seed, n])
        samples = [draw(rng, (arguments.runs, n)) for draw in DISTRIBUTIONS.values()]
        print(f"\n{f'{n} rounds':13}" + "".join(f"{name:>13}" for name in DISTRIBUTIONS))
        for name in names:
            method = METHODS[name]
            print(f"{name:13}" + "".join(f" {cell(method(x))}" for x in samples), flush=True)


if __name__ == "__main__":
    main()
