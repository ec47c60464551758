from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.record import OUTCOMES
from harness.designs.trials import PlannedTrial
from harness.drivers import request_log as L
from harness.drivers.driver import driver_of
from harness.measure.accounts import in_flight_mean, little_gap_us
from harness.measure.build_trial import client_figures, quantiles, window_length_s
from harness.measure.request_rows import Rows, requests_frame
from harness.targets.arm import Arm

PLANNED = PlannedTrial(Arm("thread-pool", 1), 100.0, 1, 0, 1, 2)
CODES = [*range(L.OK, L.UNSENT + 1), 0]


def rows_of(codes: list[int], lag_ns: int = 1000, service_ns: int = 100_000) -> Rows:
    size = len(codes)
    code = np.array(codes, dtype=np.int64)
    intended = np.arange(size, dtype=np.int64) * 10_000_000
    unsent = (code % L.DETAIL == L.UNSENT) | (code == 0)
    sent = np.where(unsent, L.NOT_YET, intended + lag_ns)
    return Rows(
        start_ns=0,
        intended=intended,
        client=np.zeros(size, dtype=np.int64),
        allowed=intended.copy(),
        sent=sent,
        connected=np.where(unsent, L.NOT_YET, sent + 20_000),
        ended=np.where(unsent, L.NOT_YET, sent + service_ns),
        code=code,
        in_flight_max=1,
    )


@given(st.lists(st.sampled_from(CODES), max_size=200))
@settings(deadline=None)
def test_the_outcomes_add_up_to_what_was_scheduled(codes: list[int]) -> None:
    client = client_figures(rows_of(codes), 1.0, None)
    assert client.outcomes.total() == client.scheduled == len(codes)
    frame = requests_frame(PLANNED, rows_of(codes))
    assert len(frame) == len(codes)
    counts = frame["outcome"].value_counts()
    assert {name: int(counts[name]) for name in OUTCOMES} == {
        name: getattr(client.outcomes, name) for name in OUTCOMES
    }


def test_missing_is_none_and_never_zero() -> None:
    client = client_figures(rows_of([L.TIMEOUT, L.UNSENT]), 1.0, None)
    assert client.response_us.p50 is None
    assert client.success_rate == 0.0
    assert client_figures(rows_of([]), 1.0, None).success_rate is None
    assert client_figures(rows_of([L.UNSENT]), 1.0, None).lag_us.p99 is None


def test_response_time_is_service_time_and_lag_together() -> None:
    client = client_figures(rows_of([L.OK] * 50, lag_ns=7_000, service_ns=90_000), 1.0, None)
    assert client.response_us.p50 == pytest.approx(97.0)
    assert client.service_us.p50 == pytest.approx(90.0)
    assert client.lag_us.p50 == pytest.approx(7.0)
    assert client.connect_us.p50 == pytest.approx(20.0)


def test_latency_is_given_by_outcome_since_quick_refusals_flatter_a_mean() -> None:
    rows = rows_of([L.OK, L.REJECTED + L.DETAIL * 503])
    client = client_figures(rows, 1.0, None)
    assert set(client.response_us_by_outcome) == {"ok", "rejected"}


@pytest.mark.parametrize(
    ("codes", "lag_ns", "expected", "reason"),
    [
        ([L.OK] * 100, 5_000, "sound", None),
        ([L.OK] * 90 + [L.TIMEOUT] * 10, 5_000, "server-saturated", None),
        ([L.OK] * 100, 1_500_000, "generator-limited", "late at p99"),
        (
            [L.OK] * 98 + [L.UNSENT + L.DETAIL * L.UNSENT_PORTS] * 2,
            5_000,
            "generator-limited",
            r"did not send 2\.0%.*no ports: 2",
        ),
        ([L.TIMEOUT] * 90 + [L.UNSENT] * 10, 5_000, "generator-limited", "did not send 10"),
    ],
)
def test_a_trial_is_sound_saturated_or_limited_by_the_generator(
    codes: list[int], lag_ns: int, expected: str, reason: str | None
) -> None:
    kind, why = driver_of("open-loop").classify(
        client_figures(rows_of(codes, lag_ns), 1.0, None), len(codes), None
    )
    assert kind == expected
    if reason is None:
        assert why is None
    else:
        assert why is not None
        import re

        assert re.search(reason, why)


def test_quantiles_are_values_that_were_measured() -> None:
    figures = quantiles(np.arange(1, 101, dtype=np.float64))
    assert (figures.p50, figures.p90, figures.p99, figures.max) == (50.0, 90.0, 99.0, 100.0)


def test_littles_law_holds_for_whole_accounts_and_shows_a_hole_in_them() -> None:
    rows = rows_of([L.OK] * 1000, service_ns=5_000_000)
    window_s = window_length_s(rows, 10.0)
    # 100 requests a second of 5 ms each: half a request in flight on average, whoever adds it up.
    assert in_flight_mean(rows, window_s) == pytest.approx(0.5, rel=0.01)
    assert little_gap_us(rows) is None
    whole = replace(rows, in_flight_ns=5_000_000 * 1000)
    assert in_flight_mean(whole, window_s) == pytest.approx(0.5, rel=0.01)
    assert little_gap_us(whole) == 0.0
    hole = replace(rows, in_flight_ns=4_000_000 * 1000)
    assert little_gap_us(hole) == -1000.0
