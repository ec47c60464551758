from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.drivers.schedule import make_schedule


@given(
    rps=st.floats(1, 3000),
    duration_s=st.floats(0.1, 3),
    clients=st.integers(1, 150),
    arrivals=st.sampled_from(["poisson", "constant"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_intended_times_ascend_within_the_window_and_belong_to_a_client(
    rps: float, duration_s: float, clients: int, arrivals: str, seed: int
) -> None:
    schedule = make_schedule(rps, duration_s, clients, arrivals, seed)
    assert (np.diff(schedule.intended_ns) >= 0).all()
    assert ((schedule.intended_ns >= 0) & (schedule.intended_ns <= duration_s * 1e9)).all()
    assert ((schedule.client >= 0) & (schedule.client < clients)).all()


def test_constant_arrivals_are_equally_spaced_and_so_are_those_of_each_client() -> None:
    schedule = make_schedule(2000, 1.0, 100, "constant", seed=1)
    assert len(schedule) == 2000
    assert set(np.diff(schedule.intended_ns)) == {500_000}
    mine = schedule.intended_ns[schedule.client == 17]
    assert len(mine) == 20
    assert set(np.diff(mine)) == {50_000_000}


def test_poisson_gaps_have_the_mean_and_spread_of_an_exponential() -> None:
    gaps_s = np.diff(make_schedule(2000, 60.0, 100, "poisson", seed=3).intended_ns) / 1e9
    # 120,000 gaps: the standard error of mean and standard deviation is 0.3 %.
    assert gaps_s.mean() == pytest.approx(1 / 2000, rel=0.02)
    assert gaps_s.std() == pytest.approx(1 / 2000, rel=0.02)


def test_equal_seeds_give_equal_schedules_and_others_do_not() -> None:
    first, again, other = (make_schedule(500, 2, 10, "poisson", seed) for seed in (5, 5, 6))
    assert np.array_equal(first.intended_ns, again.intended_ns)
    assert np.array_equal(first.client, again.client)
    assert not np.array_equal(first.intended_ns[:50], other.intended_ns[:50])


def test_a_schedule_too_long_to_hold_is_refused_with_both_figures() -> None:
    with pytest.raises(ValueError, match=r"100,000,000 requests.*at most 5,000,000"):
        make_schedule(100_000, 1000, 100, "poisson", 1)
