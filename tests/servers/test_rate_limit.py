"""Token buckets, by a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.rate_limit import MAX_CLIENTS, TokenBuckets


class Clock:
    """Nanoseconds that pass when told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def __call__(self) -> int:
        return self.now_ns


def test_a_burst_of_a_second_is_let_through_and_then_the_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(10, clock_ns=clock)
    assert [buckets.wait_s("a") for _ in range(10)] == [0.0] * 10
    assert buckets.wait_s("a") == pytest.approx(0.1)
    clock.now_ns += 100_000_000
    assert buckets.wait_s("a") == 0.0
    assert buckets.wait_s("a") > 0


def test_clients_do_not_pay_for_each_other() -> None:
    buckets = TokenBuckets(1, clock_ns=Clock())
    assert buckets.wait_s("a") == 0.0
    assert buckets.wait_s("a") > 0
    assert buckets.wait_s("b") == 0.0


def test_a_rate_of_zero_is_no_limit_and_remembers_nobody() -> None:
    buckets = TokenBuckets(0, clock_ns=Clock())
    assert {buckets.wait_s("a") for _ in range(1000)} == {0.0}
    assert len(buckets) == 0


def test_the_table_is_bounded_and_forgets_who_was_not_seen_for_longest() -> None:
    buckets = TokenBuckets(1, max_clients=3, clock_ns=Clock())
    for client in ("a", "b", "c"):
        buckets.wait_s(client)
    buckets.wait_s("a")
    buckets.wait_s("d")  # pushes out b
    assert len(buckets) == 3
    assert buckets.wait_s("a") > 0
    assert buckets.wait_s("b") == 0.0
    assert MAX_CLIENTS >= 100


@given(
    rate=st.integers(1, 1000),
    gaps_ns=st.lists(st.integers(0, 200_000_000), min_size=1, max_size=300),
)
def test_never_more_than_a_burst_and_the_rate_since(rate: int, gaps_ns: list[int]) -> None:
    clock = Clock()
    buckets = TokenBuckets(rate, clock_ns=clock)
    admitted, began_ns = 0, clock.now_ns
    for gap_ns in gaps_ns:
        clock.now_ns += gap_ns
        admitted += buckets.wait_s("a") == 0.0
        elapsed_s = (clock.now_ns - began_ns) / 1e9
        assert admitted <= rate + rate * elapsed_s + 1e-6
