"""One request to a fresh server before any load, whose answer is looked at: a load of refusals is
no load."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection

from harness.core.errors import ServerRefused
from harness.core.record import RequestSettings
from harness.core.text import visible
from harness.drivers import request_log as L
from harness.drivers.response import ResponseReader
from harness.targets.outside import OutsideServer

PATIENCE_S = 10.0
_SHOWN = 80
_TLS_ALERT, _TLS_HANDSHAKE = 0x15, 0x16
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_HTTP2_FRAMES = (4, 7)  # SETTINGS and GOAWAY, with which such a server begins


def look_at_one(server: OutsideServer, request: bytes, asked: RequestSettings) -> None:
    """Send one request to a fresh server. Raises `ServerRefused` unless its answer is expected."""
    what = f"{asked.method} {asked.path}"
    reader, data = _exchange(server, request, asked)
    if reader is None:
        if not data and not server.alive():
            raise ServerRefused(str(server.died()))
        raise ServerRefused(
            f"{server.where} did not answer {what} within {PATIENCE_S:g} s; does it need another "
            "--request, or --ready?"
        )
    code = reader.code
    if code % L.DETAIL == L.OK:
        return
    if code % L.DETAIL in (L.RESET, L.BAD_RESPONSE):
        raise ServerRefused(f"{server.where} {_no_http(server, what, data)}")
    raise ServerRefused(f"{server.where} {_unexpected(reader.status, data, what, asked.expect)}")


def _exchange(
    server: OutsideServer, request: bytes, asked: RequestSettings
) -> tuple[ResponseReader | None, bytes]:
    """The answer, as far as it was read, and its first bytes; no reader where it did not end."""
    reader, data = ResponseReader(asked.expect, asked.method == "HEAD"), b""
    try:
        with socket.create_connection((server.host, server.port), PATIENCE_S) as connection:
            connection.sendall(request)
            while received := connection.recv(65536):
                data = data or received
                if reader.feed(received):
                    return reader, data
    except TimeoutError:
        return None, data
    except OSError:
        pass  # reset: as if it had closed
    reader.end()
    return reader, data


def _no_http(server: OutsideServer, what: str, data: bytes) -> str:
    """Of an answer that is none over HTTP/1: what it speaks instead, as far as can be told."""
    if (data[:1] and data[0] in (_TLS_ALERT, _TLS_HANDSHAKE)) or (not data and _speaks_tls(server)):
        return (
            "speaks TLS, and a handshake for each request would be all that is measured; have it "
            "listen without"
        )
    if _is_http2(data) or (not data and _is_http2(_asked(server, _HTTP2_PREFACE))):
        return "speaks HTTP/2 alone, and the lab sends HTTP/1.1; have it speak that"
    if not data:
        return f"closed the connection without an answer to {what}; what it printed may say why"
    begins = visible(data[:_SHOWN].decode("utf-8", "replace"), keep="")
    return f"answered {what} with what is no whole HTTP response: {begins}"


def _unexpected(status: int, data: bytes, what: str, expected: Collection[int]) -> str:
    wanted = " or ".join(map(str, expected))
    if status in (301, 302, 303, 307, 308):
        where = _header(data, b"location")
        to = f" to {where}" if where else ""
        return f"redirects {what}{to} ({status}); name the path that answers by --request"
    if status in (404, 405):
        return (
            f"answers {status} to {what}; name what it has by --request, like --request 'GET /' "
            f"(expected: {wanted})"
        )
    tls = status == 400 and b"https" in data.lower()
    if tls:
        return f"answers {status} to {what} and speaks of HTTPS; have it listen without TLS"
    return (
        f"answers {status} to {what}, and {wanted} is expected; if that is right, add --expect "
        f"{status}"
    )


def _header(data: bytes, name: bytes) -> str:
    for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return visible(value.strip().decode("utf-8", "replace"), keep="")[:_SHOWN]
    return ""


def _is_http2(data: bytes) -> bool:
    return len(data) >= 9 and data[0] == 0 and data[3] in _HTTP2_FRAMES


def _asked(server: OutsideServer, data: bytes) -> bytes:
    try:
        with socket.create_connection((server.host, server.port), 2.0) as connection:
            connection.sendall(data)
            return connection.recv(1024)
    except OSError:
        return b""


def _speaks_tls(server: OutsideServer) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((server.host, server.port), 2.0) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except ssl.SSLError as error:
        return "CERTIFICATE" in str(error).upper() or "ALERT" in str(error).upper()
    except OSError:
        return False
