"""Checks of typed options: each refusal is one sentence that says what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from harness.core.checks import between, host_and_port, one_of, text
from harness.core.errors import LabError
from harness.core.limits import MAX_REQUESTS, MAX_RPS

T = TypeVar("T")

MOST_ARMS = 6


def parse_rates(text: str) -> list[float]:
    """Target rates of `2000` or `500,2000`, in the order given. Raises `LabError`."""
    rates = []
    for part in text.split(","):
        try:
            rate = float(part)
        except ValueError:
            rate = math.nan
        if not rate > 0:
            raise LabError(
                f"--rps {text!r}: {part!r} is no rate; write numbers above 0, like 2000 or 500,2000"
            )
        if rate > MAX_RPS:
            raise LabError(
                f"--rps {part}: one generator process can schedule at most {MAX_RPS:,} requests a "
                "second (and send some 15,000); lower the rate"
            )
        if rate in rates:
            raise LabError(f"--rps {text!r} names {part} twice; name each level once")
        rates.append(rate)
    return rates


def parse_backends(text: str) -> list[str]:
    """Names of backends that exist, the baseline first. Raises `LabError`."""
    names = [name.strip() for name in text.split(",")]
    not_too_many("--backends names", len(names))
    return known_backends(names)


def not_too_many(what: str, count: int) -> None:
    """Raise `LabError` for more arms than a comparison holds."""
    if count > MOST_ARMS:
        raise LabError(f"{what} {count}; compare at most {MOST_ARMS} at a time")


def known_backends(names: list[str]) -> list[str]:
    """The names, where backends have them. Raises `LabError`."""
    from servers.registry import UnknownBackend, must_exist  # which `--help` has no use for

    for name in names:
        try:
            must_exist(name)
        except UnknownBackend as error:
            raise LabError(str(error)) from error
    return names


def parsed(name: str, text: str, parse: Callable[[str], T]) -> T:
    """`parse(text)`; its ValueError becomes a `LabError` that names the option."""
    try:
        return parse(text)
    except ValueError as error:
        raise LabError(f"{name}: {error}") from error


def parse_share(text: str) -> float:
    """A share of `10%` or `0.1`. Raises ValueError."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"{text!r} is no share; write like 10% or 0.1") from None


def parse_time(text: str) -> float:
    """Seconds of `600`, `600s` or `10m`. Raises ValueError."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 1)
    try:
        return float(text.rstrip("smh")) * unit
    except ValueError:
        raise ValueError(f"{text!r} is no time; write like 90s or 10m") from None


def check_length(rates: list[float], duration_s: float) -> None:
    """Raise `LabError` when a trial would be too long to hold in memory."""
    if max(rates) * duration_s > MAX_REQUESTS:
        raise LabError(
            f"{max(rates):,.0f} RPS for {duration_s:g} s are {max(rates) * duration_s:,.0f} "
            f"requests; a trial holds at most {MAX_REQUESTS:,}: lower --rps or --duration"
        )


__all__ = [
    "between",
    "check_length",
    "host_and_port",
    "one_of",
    "parse_backends",
    "parse_rates",
    "parse_share",
    "parse_time",
    "parsed",
    "text",
]
