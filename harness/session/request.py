"""The request that is sent to every server: `--request`, `--header`, `--body`, `--expect`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core import checks
from harness.core.errors import LabError
from harness.core.record import RequestSettings
from harness.core.text import visible
from harness.drivers.payloads import BODY

_LARGEST_BODY = 128 * 1024  # what one call sends whole
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WITH_BODY = ("POST", "PUT", "PATCH")
_OWN = ("content-length", "transfer-encoding", "connection", "host")


@dataclass(frozen=True, slots=True)
class RequestTyped:
    """The request as typed. None, or nothing: as the document has it."""

    request: str | None = None
    header: Sequence[str] = ()
    body: str | None = None
    expect: str | None = None


def parse_request(typed: RequestTyped, usual: RequestTyped | None = None) -> RequestSettings | None:
    """The request that was asked for, with what is `usual` where nothing was typed; None where
    nothing was asked for at all. Raises `LabError`."""
    if usual is not None:
        typed = RequestTyped(
            typed.request or usual.request,
            typed.header or usual.header,
            usual.body if typed.body is None else typed.body,
            typed.expect or usual.expect,
        )
    if typed == RequestTyped():
        return None
    method, path = _line(typed.request or "POST /metrics")
    body = BODY if method in _WITH_BODY else ""
    if typed.body is not None:
        body = _body(typed.body)
    headers = [_header(text) for text in typed.header]
    names = [name.lower() for name, _ in headers]
    if body and "content-type" not in names:
        headers.append(("Content-Type", "application/json"))
    expect = [202] if typed.expect is None else _statuses(typed.expect)
    return RequestSettings(method=method, path=path, headers=headers, body=body, expect=expect)


def _line(text: str) -> tuple[str, str]:
    method, _, path = text.strip().partition(" ")
    path = path.strip()
    good = _TOKEN.fullmatch(method) and path.startswith("/") and path.isascii()
    if not good or not path.isprintable() or " " in path:
        raise LabError(
            f"--request {visible(text, keep='')!r} is no method and path; write it like "
            "--request 'POST /metrics'"
        )
    if method == "CONNECT":
        raise LabError("--request CONNECT opens a tunnel and has no answer; take another method")
    return method, path


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    shown = visible(text, keep="")
    if "\r" in text or "\n" in text:
        raise LabError(f"--header {shown!r} has a line break, which would end it; take it out")
    if not colon or not _TOKEN.fullmatch(name):
        raise LabError(f"--header {shown!r} is no name and value; write it like 'Accept: */*'")
    if not value.isprintable() or not value.isascii():
        raise LabError(f"--header {shown!r}: a value is plain ASCII; encode it")
    if name.lower() in _OWN:
        raise LabError(f"--header {name}: the lab sets it for each request; leave it out")
    return name, value.strip()


def _body(text: str) -> str:
    if not text.startswith("@"):
        checks.text("--body", text)
        _not_too_long(text, "--body")
        return text
    file = Path(text[1:])
    try:
        data = file.read_bytes() if file.is_file() else None
    except OSError as error:
        raise LabError(f"--body {text}: {error.strerror}; name a file that can be read") from error
    if data is None:
        raise LabError(f"--body {text}: there is no such file; name one that is there")
    try:
        body = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LabError(f"--body {text} is no UTF-8 text, which a record can hold") from error
    _not_too_long(body, f"--body {text}")
    return body


def _not_too_long(body: str, name: str) -> None:
    size = len(body.encode())
    if size > _LARGEST_BODY:
        raise LabError(f"{name} has {size:,} bytes; a body may have up to {_LARGEST_BODY:,}")


def _statuses(text: str) -> list[int]:
    found = []
    for part in (part.strip() for part in text.split(",")):
        if not (part.isascii() and part.isdigit()) or not 200 <= int(part) <= 599:
            raise LabError(
                f"--expect {visible(text, keep='')!r}: {visible(part, keep='')!r} is no status of "
                "an answer; write numbers from 200 to 599, like 200,202"
            )
        found.append(int(part))
    return found
