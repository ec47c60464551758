"""Figures as people write them."""

from __future__ import annotations

from collections.abc import Callable

Format = Callable[[float | None], str]


def microseconds(value_us: float | None) -> str:
    """`118 µs`, `1.42 ms`, `2.1 s`; `-` for None. None of these is rounded to nothing."""
    if value_us is None:
        return "-"
    if 0 < abs(value_us) < 0.05:
        return f"{value_us:.1g} µs"
    if abs(value_us) < 999.5:
        return f"{value_us:.3g} µs" if value_us >= 100 else f"{value_us:.1f} µs"
    if abs(value_us) < 999_500:
        return f"{value_us / 1e3:.3g} ms"
    return f"{value_us / 1e6:.3g} s"


def size(value_bytes: float | None) -> str:
    """`24.1 MiB`; `-` for None."""
    if value_bytes is None:
        return "-"
    mib = value_bytes / (1024 * 1024)
    if 0 < abs(mib) < 0.05:
        return f"{value_bytes / 1024:.2g} KiB"
    return f"{mib:,.0f} MiB" if mib >= 100 else f"{mib:.1f} MiB"


def number(value: float | None) -> str:
    """`2,041`, `16`, `0.42`; `-` for None."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    if abs(value) < 0.005:
        return f"{value:.1g}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def share(value: float | None) -> str:
    """`99.8 %`; `-` for None. Never rounded to a whole or to nothing that it is not."""
    if value is None:
        return "-"
    percent = value * 100
    if 99.95 <= percent < 100:
        return f"{int(percent * 1000) / 1000:.3f} %"
    if 0 < percent < 0.05:
        return f"{percent:.1g} %"
    return f"{percent:.1f} %"


def percent(share: float) -> str:
    """`12 %`, `0.4 %`; from threefold on a factor, `12×`."""
    if share >= 2:
        return f"{share + 1:.0f}×"
    return f"{share:.0%}".replace("%", " %") if share >= 0.0095 else f"{share * 100:.1g} %"


def ratio(value: float) -> str:
    """`0.81`, `12.30`, `352`, `0.0081`: two decimals, and never 0 for what is not."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.095 else f"{value:.2g}"


def rate(value: float) -> str:
    """`2,000 RPS`."""
    return f"{value:,.0f} RPS" if value >= 10 else f"{value:g} RPS"


def duration(seconds: float) -> str:
    """`45 s`, `2 min 5 s`."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
