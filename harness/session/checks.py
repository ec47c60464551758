"""What a person typed, checked: each refusal is one sentence that says what to do."""

from __future__ import annotations

import math

from harness.core.checks import between, host_and_port, one_of, text
from harness.core.errors import LabError
from harness.core.limits import MAX_REQUESTS, MAX_RPS


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
    "text",
]
