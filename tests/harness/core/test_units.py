from __future__ import annotations

import pytest

from harness.core.units import duration, microseconds, number, rate, share, size


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.0 µs"), (9.87, "9.9 µs"), (118.2, "118 µs"), (999.4, "999 µs"),
     (999.6, "1 ms"), (1420.0, "1.42 ms"), (2_100_000.0, "2.1 s")],
)  # fmt: skip
def test_microseconds(value: float | None, text: str) -> None:
    assert microseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1.0, "100.0 %"),
        (0.99999, "99.999 %"),
        (0.9999999, "99.999 %"),
        (0.5, "50.0 %"),
    ],
)
def test_a_share_is_never_rounded_up_to_the_whole(value: float | None, text: str) -> None:
    assert share(value) == text


def test_other_units() -> None:
    assert (size(25 * 1024 * 1024), size(None)) == ("25.0 MiB", "-")
    assert (number(2041.4), number(16.0), number(0.417), number(None)) == (
        "2,041", "16", "0.42", "-",
    )  # fmt: skip
    assert (rate(2000), rate(0.5)) == ("2,000 RPS", "0.5 RPS")
    assert (duration(45), duration(125)) == ("45 s", "2 min 5 s")
