"""The standard library's thread per request: `python -m harness.peers.thread_per_request PORT`."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.peers.apps import answer


class Handler(BaseHTTPRequestHandler):
    """The job, for `http.server`."""

    def do_POST(self) -> None:
        """Answer one request; the connection is closed after it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, said = answer("POST", self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """No log: the others write none either."""


class Server(ThreadingHTTPServer):
    """With the backlog that all have."""

    request_queue_size = 4096


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
