from __future__ import annotations

import math
import random

import pytest

from harness.stats.paired import paired_ratio, unpaired_ratio


def test_the_paired_interval_is_that_of_the_signed_rank_test() -> None:
    from scipy import stats

    rng = random.Random(4)
    before = [math.exp(rng.gauss(0, 1)) for _ in range(9)]
    after = [value * math.exp(rng.gauss(0.2, 0.1)) for value in before]
    found = paired_ratio(before, after, 0.95)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    logs = [math.log(b / a) for a, b in zip(before, after, strict=True)]
    for end, inside in ((math.log(found.low), 1), (math.log(found.high), -1)):
        # Just inside the interval the exact test does not reject; just outside it does.
        for shift, rejected in ((inside * 1e-9, False), (-inside * 1e-9, True)):
            p = stats.wilcoxon([x - end - shift for x in logs], method="exact").pvalue
            assert (p <= 0.05) == rejected


@pytest.mark.parametrize("rounds", [5, 8, 12])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_unchanged_code_is_outside_the_interval_as_often_as_promised(
    rounds: int, confidence: float
) -> None:
    rng = random.Random(rounds)
    misses = {"paired": 0, "unpaired": 0}
    for _ in range(2000):
        # A machine in two states, one round in five disturbed: alike for both sides.
        machine = [rng.choice((0.0, 0.3)) for _ in range(rounds)]
        a, b = (
            [math.exp(m + rng.gauss(0, 0.05) + (rng.random() < 0.2)) for m in machine]
            for _ in range(2)
        )
        for name, method in (("paired", paired_ratio), ("unpaired", unpaired_ratio)):
            found = method(a, b, confidence)
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            misses[name] += not found.low <= 1 <= found.high
    for count in misses.values():
        assert count / 2000 <= (1 - confidence) * 1.5 + 0.004


def test_zeros_and_few_values_give_no_false_precision() -> None:
    assert paired_ratio([0.0, 0.0], [0.0, 0.0], 0.95) is None
    four = paired_ratio([1.0, 1.01, 1.02, 1.0], [2.0, 2.01, 2.02, 2.0], 0.95)
    assert four is not None
    assert four.low is None  # never a verdict from fewer than five rounds
    gone = paired_ratio([1.0] * 8, [0.0] * 8, 0.95)
    assert gone is not None
    assert gone.value == gone.high == 0.0
    assert unpaired_ratio([], [1.0], 0.95) is None
