"""One value that a person typed, checked: each refusal is one sentence that says what to do."""

from __future__ import annotations

from typing import get_args

from harness.core.errors import LabError


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


def between(name: str, value: float, lowest: float, highest: float) -> None:
    """Raise `LabError` unless lowest <= value <= highest."""
    if not lowest <= value <= highest:
        raise LabError(f"{name} must be from {lowest:g} to {highest:g}, not {value:g}")


def one_of(name: str, value: str, choices: object) -> None:
    """Raise `LabError` unless `value` is one of the strings of a Literal type."""
    allowed = get_args(choices)
    if value not in allowed:
        raise LabError(f"{name} {value!r} is not known; take {' or '.join(allowed)}")
