"""A thread pool that keeps no stamps and no counters: what telemetry costs is the difference.

The same steps as `servers.request_path`, without clocks, recorder and CPU time.
"""

from __future__ import annotations

from typing import TypeVar

from servers import metric
from servers.connection import Connection, Steps
from servers.message import AcceptedResponses, Message
from servers.thread_pool import ThreadPoolBackend

_Result = TypeVar("_Result")


def waited(connection: Connection, steps: Steps[_Result]) -> _Result:
    """The result of `steps`, each of whose waits this thread waits."""
    while True:
        try:
            connection.wait(next(steps))
        except StopIteration as end:
            result: _Result = end.value
            return result


class BarePool(ThreadPoolBackend):
    """For the benchmark only: it answers good requests and nothing else."""

    name = "bare-pool"
    _respond = AcceptedResponses()

    def handle(self, connection: Connection) -> None:
        message = Message()
        parser = message.parser()
        while not message.complete:
            message.feed(parser, waited(connection, connection.receive()))
        if message.target == b"/metrics" and message.method == b"POST":
            self._path._limiter.wait_s(message.client_id or connection.address)
            count = metric.validate(metric.decode(message.body))
            waited(connection, connection.send(self._respond(count)))
        connection.sock.close()
