"""Values that a person typed, read and checked: each refusal is one sentence that says what to
do."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Final, TypeVar, get_args

from harness.core.errors import LabError
from servers.options import parse_cpus

# One Python process cannot send more than some 20,000 requests a second; beyond this a plan is
# a mistake rather than an experiment.
MAX_RPS: Final = 100_000
# What a trial's request log and rows may take: some 300 MB and 600 MB.
MAX_REQUESTS: Final = 5_000_000
MOST_ARMS = 6
LONGEST_NAME = 40

T = TypeVar("T")


def host_and_port(name: str, text: str) -> tuple[str, int]:
    """The two parts of HOST:PORT. Raises `LabError`."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        raise LabError(f"{name} {text!r} is no address; write HOST:PORT, as 10.0.0.5:8080")
    return host, int(port)


def cpus(name: str, value: str | None) -> str | None:
    """A list of CPUs as taskset writes it, each named once and in order: `0,2,3`. Raises
    `LabError`."""
    if value is None:
        return None
    try:
        asked = parse_cpus(value)
    except ValueError as error:
        raise LabError(f"{name}: {error}") from error
    there = os.sched_getaffinity(0)
    missing = sorted(asked - there)
    if missing:
        raise LabError(
            f"{name} {value}: there is no CPU {missing[0]} here; take of "
            + ",".join(map(str, sorted(there)))
        )
    return ",".join(map(str, sorted(asked)))


def text(name: str, value: str | None) -> None:
    """Raise `LabError` for what a record, which is UTF-8, cannot hold."""
    try:
        (value or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise LabError(
            f"{name} {value}: this is no UTF-8 here; take another name, or a UTF-8 locale (LC_ALL)"
        ) from error


def between(name: str, value: float, lowest: float, highest: float) -> None:
    """Raise `LabError` unless lowest <= value <= highest."""
    if not lowest <= value <= highest:
        raise LabError(f"{name} must be from {lowest:g} to {highest:g}, not {value:g}")


def one_of(name: str, value: str, choices: object) -> None:
    """Raise `LabError` unless `value` is one of the strings of a Literal type."""
    allowed = get_args(choices)
    if value not in allowed:
        raise LabError(f"{name} {value!r} is not known; take {' or '.join(allowed)}")


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
