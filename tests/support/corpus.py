"""The conformance corpus, and what every answer must be whatever was asked."""

from __future__ import annotations

import json
import re
import socket
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httptools

from tests.support.serving import PATIENCE_S, connect

CORPUS = Path(__file__).parent.parent / "conformance"
FILES = ("request_line", "targets", "headers", "framing", "connection", "json", "metric")
GOOD_BODY = b'{"name":"a","value":1}'
_REPEAT = re.compile(r"<<(\d+) \* ((?:(?!<<|>>).)*)>>", re.DOTALL)
_KEYS = {"name", "send", "post", "status", "reason", "accepted", "detail", "path", "headers",
         "half_close", "head"}  # fmt: skip
_PAUSE_S = 0.01  # between two writes: enough for a server that is not busy to read the first


def post(body: bytes, *headers: str) -> bytes:
    """A good request to take in `body`."""
    lines = ["POST /metrics HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@dataclass(frozen=True)
class Case:
    """One case of the corpus; `tests/conformance/README.md` says what each field means."""

    name: str
    writes: tuple[bytes, ...]
    statuses: tuple[int, ...]
    accepted: int | None = None
    detail: str = ""
    path: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    half_close: bool = False
    head: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """One response on the wire, interim or final. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def load_cases() -> list[Case]:
    """Every case of every file, in order. Names are unique."""
    cases = [
        _case(file, table)
        for file in FILES
        for table in tomllib.loads((CORPUS / f"{file}.toml").read_text("utf-8"))["case"]
    ]
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
    return cases


def _case(file: str, table: dict[str, Any]) -> Case:
    assert table.keys() <= _KEYS, f"unknown keys: {table.keys() - _KEYS}"
    assert ("send" in table) != ("post" in table), table["name"]
    writes: tuple[bytes, ...]
    if "post" in table:
        writes = (post(_expand(table["post"])),)
    else:
        send = table["send"]
        writes = tuple(_expand(text) for text in ([send] if isinstance(send, str) else send))
    status = table["status"]
    return Case(
        name=f"{file}: {table['name']}",
        writes=writes,
        statuses=(status,) if isinstance(status, int) else tuple(status),
        accepted=table.get("accepted"),
        detail=table.get("detail", ""),
        path=table.get("path"),
        headers=table.get("headers", {}),
        half_close=table.get("half_close", False),
        head=table.get("head", False),
    )


def _expand(text: str) -> bytes:
    """The bytes that `text` stands for."""
    while _REPEAT.search(text):
        text = _REPEAT.sub(lambda found: int(found[1]) * found[2], text)
    return text.encode("latin-1")


def converse(
    port: int, writes: Sequence[bytes], half_close: bool = False, interim: int = 0
) -> bytes:
    """Send each of `writes` in a segment of its own; everything until the server closes.

    `interim` answers are waited for after the first write, as a client does that expects 100. A
    pause would not do: a server that stands still for longer finds the body there as well, and may
    leave the 100 out (RFC 9110 10.1.1).

    A server that has answered may close before it was sent everything. Then what it answered
    must still arrive: a reset that destroys it makes this raise ConnectionResetError.
    """
    raw = b""
    with connect(port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for number, data in enumerate(writes):
                if number == 1 and interim:
                    raw = read_heads(sock, interim)
                elif number:
                    time.sleep(_PAUSE_S)  # nothing tells a client that the server has read
                sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return raw + read_to_end(sock)


def read_heads(sock: socket.socket, count: int) -> bytes:
    """What comes until `count` heads are there, or until the server closes."""
    raw = b""
    while raw.count(b"\r\n\r\n") < count and (data := sock.recv(65536)):
        raw += data
    return raw


def read_to_end(sock: socket.socket) -> bytes:
    """Everything until the server closes, within the patience of a test."""
    raw = b""
    end_s = time.monotonic() + PATIENCE_S
    while data := sock.recv(65536):
        raw += data
        assert time.monotonic() < end_s, f"no end: {raw[:200]!r}"
    return raw


class _Parsed:
    """What httptools calls while it parses a response."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.completed = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("ascii").lower(), value.decode("ascii")))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.completed += 1


def parse_responses(raw: bytes, head: bool = False) -> list[Response]:
    """`raw` as interim responses and one final one, all of it well-formed, and nothing behind.

    `head` is whether the final one answers a HEAD. httptools decides on what is well-formed.
    """
    responses: list[Response] = []
    rest = raw
    while rest.startswith(b"HTTP/1.1 1"):
        interim, separator, rest = rest.partition(b"\r\n\r\n")
        responses.append(_parse_one(interim + separator, head=True))
    responses.append(_parse_one(rest, head))
    return responses


def _parse_one(raw: bytes, head: bool) -> Response:
    parsed = _Parsed()
    parser = httptools.HttpResponseParser(parsed)
    # To this parser each response answers a GET, so the length of one to HEAD is taken out.
    parser.feed_data(re.sub(rb"\r\nContent-Length: \d+", b"", raw, count=1) if head else raw)
    assert parser.get_http_version() == "1.1"
    headers = dict(parsed.headers)
    assert len(headers) == len(parsed.headers), f"a header twice: {parsed.headers}"
    if head:
        assert raw.endswith(b"\r\n\r\n"), f"a body: {raw!r}"
        assert parsed.body == b""
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", raw)
        headers |= {"content-length": length[1].decode()} if length else {}
    else:
        assert parsed.completed == 1, f"cut short: {raw!r}"
        assert int(headers["content-length"]) == len(parsed.body)
        assert raw.endswith(b"\r\n\r\n" + parsed.body), f"more than one response: {raw!r}"
    return Response(parser.get_status_code(), headers, parsed.body)


def check_final(response: Response, head: bool = False) -> dict[str, Any]:
    """What every answer must be, whatever was asked. Its body, decoded."""
    assert response.headers["connection"] == "close"
    assert int(response.headers["content-length"]) > 0
    assert parsedate_to_datetime(response.headers["date"]).tzinfo is not None
    failed = response.status >= 400
    assert response.headers["content-type"] == f"application/{'problem+' if failed else ''}json"
    if head:
        return {}
    text = response.body.decode("ascii")
    assert text.isprintable(), f"not escaped: {text!r}"
    body: dict[str, Any] = json.loads(text)
    if failed:
        assert body["status"] == response.status
        assert body["type"] == "about:blank"
        assert body["title"]
        assert body.keys() <= {"type", "title", "status", "detail", "path"}
        detail: str = body["detail"]
        assert detail.isascii()
        assert detail.isprintable()
        assert detail.endswith(".")
        assert len(detail) < 200
    return body


def check_case(case: Case, raw: bytes) -> None:
    """`raw` is what `case` must get."""
    assert raw, "closed without an answer"
    responses = parse_responses(raw, case.head)
    final = responses[-1]
    assert tuple(r.status for r in responses) == case.statuses, final.body
    body = check_final(final, case.head)
    for name, value in case.headers.items():
        assert final.headers[name] == value
    if case.accepted is not None:
        assert body == {"accepted": case.accepted}
    if case.path is not None:
        assert body["path"] == case.path
    assert case.detail in body.get("detail", "")
    assert (final.status == 422) == ("path" in body)
    assert (final.status == 405) == ("allow" in final.headers)
