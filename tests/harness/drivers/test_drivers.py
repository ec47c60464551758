"""What differs between drivers: when they were the limit, what they warn of, what they hide."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import msgspec
import numpy as np
import pytest

from harness.core.record import Client, DriverName, Settings
from harness.drivers import request_log as L
from harness.drivers.driver import driver_of
from harness.measure.build_trial import client_figures
from harness.measure.request_rows import Rows, copy_rows
from tests.support.made import SETTINGS

NAMES: tuple[DriverName, ...] = get_args(DriverName)


def client_of(codes: list[int], lag_us: float, cpu_share: float | None = None) -> Client:
    """What a generator saw of requests with these outcomes, each sent so late, in 10 ms each."""
    code = np.array(codes, dtype=np.int64)
    intended = np.arange(len(codes), dtype=np.int64) * 10_000_000
    unsent = code % L.DETAIL == L.UNSENT
    sent = np.where(unsent, L.NOT_YET, intended + round(lag_us * 1e3))
    ended = np.where(unsent, L.NOT_YET, sent + 10_000_000)
    rows = Rows(0, intended, np.zeros_like(code), intended, sent, sent, ended, code, 1)
    found = client_figures(rows, 1.0, None)
    return msgspec.structs.replace(found, generator_cpu_share=cpu_share)


OK, FAILED = L.OK + L.DETAIL * 202, L.HTTP_ERROR + L.DETAIL * 500
NO_PORTS = L.UNSENT + L.DETAIL * L.UNSENT_PORTS
NEVER = L.UNSENT + L.DETAIL * L.UNSENT_NEVER_ALLOWED
SOUND, SATURATED, LIMITED = "sound", "server-saturated", "generator-limited"


@pytest.mark.parametrize(
    ("names", "codes", "lag_us", "cpu_share", "failure", "expected", "why"),
    [
        (NAMES, [OK] * 100, 100, 0.5, None, SOUND, None),
        (NAMES, [OK] * 90 + [FAILED] * 10, 100, 0.5, None, SATURATED, None),
        # An engine that spins has all of its CPU, and is late after a millisecond.
        (["open-loop", "closed-loop"], [OK] * 100, 100, 1.0, None, SOUND, None),
        (["open-loop", "closed-loop"], [OK] * 100, 1500, 0.5, None, LIMITED, "1.5 ms late at p99"),
        (["open-loop", "closed-loop"], [OK] * 99 + [NO_PORTS], 100, 0.5, None, LIMITED, "no ports"),
        (["closed-loop"], [OK] * 99 + [NEVER], 100, 0.5, None, SATURATED, None),
        # Locust's timers count milliseconds; what it does not send it was not allowed to.
        (["locust"], [OK] * 100, 1500, 0.5, None, SOUND, None),
        (["locust"], [OK] * 100, 15_000, 0.5, None, LIMITED, "15.0 ms late at p99 (limit 10 ms)"),
        (["locust"], [OK] * 100, 100, 0.95, None, LIMITED, "95% of a CPU (limit 90%)"),
        (["locust"], [OK] * 90, 100, 0.5, None, SATURATED, None),
        (["locust"], [OK] * 100, 100, 0.5, "worker 1 of 2 died", LIMITED, "worker 1 of 2 died"),
    ],
)
def test_when_the_driver_was_the_limit(
    names: list[DriverName], codes: list[int], lag_us: float, cpu_share: float,
    failure: str | None, expected: str, why: str | None,
) -> None:  # fmt: skip
    client = client_of(codes, lag_us, cpu_share)
    for name in names:
        kind, reason = driver_of(name).classify(client, 100.0, failure)
        assert kind == expected, name
        assert reason is None if why is None else reason is not None and why in reason


def test_what_users_who_wait_do_to_the_figures_is_told() -> None:
    told = driver_of("locust").warnings(client_of([OK] * 90, 1500), 100.0)
    assert [sentence.split(":")[0] for sentence in told] == [
        "Locust's users sent 90 of 100 requests",
        "Locust was 1.5 ms late at p99, and counts that as response",
    ]
    assert driver_of("locust").warnings(client_of([OK] * 100, 100), 100.0) == []
    for name in ("open-loop", "closed-loop"):
        assert driver_of(name).warnings(client_of([OK] * 90, 1500), 100.0) == []


def test_only_the_open_loop_leaves_nothing_out() -> None:
    for name in NAMES:
        settings = msgspec.convert(SETTINGS | {"driver": name}, Settings)
        assert (driver_of(name).sentence(settings) is None) == (name == "open-loop")


def test_rows_of_a_log_without_a_schedule_count_when_they_are_written() -> None:
    log = L.RequestLog.create(10, scheduled=False)
    assert len(copy_rows(log).code) == 0
    for row, (sent, ended) in enumerate([(0, 30), (10, 20), (40, 50)]):
        log.column(L.SENT)[row], log.column(L.ENDED)[row] = sent, ended
        log.header[L.ROWS] = row + 1
    rows = copy_rows(log)
    log.close()
    assert rows.sent.tolist() == [0, 10, 40]
    assert (rows.in_flight_max, rows.in_flight_ns) == (2, None)


def test_what_is_asked_of_a_driver_before_a_run_imports_nothing_heavy() -> None:
    script = (
        "import sys; from harness.drivers.driver import driver_of; "
        f"[driver_of(name).in_turns for name in {NAMES}]; "
        "print(sorted({'numpy', 'pandas', 'gevent', 'locust'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr
