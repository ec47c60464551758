"""What a person typed, checked: each refusal is one sentence that says what to do."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import get_args

from harness.core.errors import LabError
from harness.core.limits import MAX_REQUESTS, MAX_RPS
from harness.core.options import between
from harness.core.record import Arrivals, Driver


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
    from servers.registry import UnknownBackend, resolve  # which `--help` has no use for

    names = [name.strip() for name in text.split(",")]
    if len(names) > 6:
        raise LabError(f"--backends names {len(names)}; compare at most 6 at a time")
    for name in names:
        try:
            resolve(name)
        except UnknownBackend as error:
            raise LabError(str(error)) from error
    return names


def host_and_port(name: str, text: str) -> tuple[str, int]:
    """The two parts of HOST:PORT. Raises `LabError`."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        raise LabError(f"{name} {text!r} is no address; write HOST:PORT, as 10.0.0.5:8080")
    return host, int(port)


def text(name: str, value: str | None) -> None:
    """Raise `LabError` for what a record, which is UTF-8, cannot hold."""
    try:
        (value or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise LabError(
            f"{name} {value}: this is no UTF-8 here; take another name, or a UTF-8 locale (LC_ALL)"
        ) from error


def one_of(name: str, value: str, choices: object) -> None:
    """Raise `LabError` unless `value` is one of the strings of a Literal type."""
    allowed = get_args(choices)
    if value not in allowed:
        raise LabError(f"{name} {value!r} is not known; take {' or '.join(allowed)}")


def check_length(rates: list[float], duration_s: float) -> None:
    """Raise `LabError` when a trial would be too long to hold in memory."""
    if max(rates) * duration_s > MAX_REQUESTS:
        raise LabError(
            f"{max(rates):,.0f} RPS for {duration_s:g} s are {max(rates) * duration_s:,.0f} "
            f"requests; a trial holds at most {MAX_REQUESTS:,}: lower --rps or --duration"
        )


def need_locust() -> None:
    """Raise `LabError` where Locust is not installed. Importing it here would patch the lab."""
    if find_spec("locust") is None:
        raise LabError("Locust is not installed in this Python; install it: pip install locust")


__all__ = [
    "Arrivals",
    "Driver",
    "between",
    "check_length",
    "host_and_port",
    "need_locust",
    "one_of",
    "parse_backends",
    "parse_rates",
    "text",
]
