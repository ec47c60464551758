"""The job of the servers under test for other servers: decode and validate a metric, answer 202.

As an application for WSGI and for ASGI. The same functions as ours do the work, so that what
differs is the server around them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from servers import metric
from servers.problem import Problem

_REASONS = {202: "Accepted", 400: "Bad Request", 404: "Not Found", 422: "Unprocessable Content"}


def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body for a request."""
    if (method, path) != ("POST", "/metrics"):
        return 404, b'{"status": 404}'
    try:
        return 202, b'{"accepted": %d}' % metric.validate(metric.decode(body))
    except Problem as problem:
        return problem.status, b'{"status": %d}' % problem.status


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The job for a WSGI server."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, said = answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(said)))]
    start(f"{status} {_REASONS.get(status, 'Error')}", headers)
    return [said]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The job for an ASGI server, on its event loop."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    status, said = answer(scope["method"], scope["path"], body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said})
