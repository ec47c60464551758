"""Other servers doing the same job, each run as `python -m benchmarks.peers NAME CPU`.

The job: one connection a request, parse it, decode and validate the metric, answer 202. The
line on standard output is the port, once it accepts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servers import metric

_BACKLOG = 4096


def _ingest(body: bytes) -> bytes:
    return b'{"accepted": %d}' % metric.validate(metric.decode(body))


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        answer = _ingest(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """No log: the others write none either."""


class _Server(ThreadingHTTPServer):
    request_queue_size = _BACKLOG


def http_server() -> None:
    """The standard library's thread per request."""
    server = _Server(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def _application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    answer = _ingest(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    start("202 Accepted", headers)
    return [answer]


def waitress_server() -> None:
    """waitress with 16 threads."""
    import waitress  # type: ignore[import-untyped]

    server = waitress.create_server(
        _application, host="127.0.0.1", port=0, threads=16, backlog=_BACKLOG
    )
    print(server.effective_port, flush=True)
    server.run()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    {"http.server": http_server, "waitress": waitress_server}[sys.argv[1]]()
