"""The request path: the eight steps that every backend shares.

read, parse, rate limit, decode JSON, validate, write, close, and back to whoever called. Each
step's edge is stamped with a monotonic clock, for every request, in the request's recorder. Where
a step has to wait, for the client or as its work says, it yields, and the backend waits in its own
way.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable
from time import monotonic_ns

from servers import metric
from servers.connection import (
    RECEIVE_BYTES,
    AnswerTimedOut,
    ClientLeft,
    Connection,
    Pause,
    Steps,
)
from servers.keeping import EMPTY_LINE, Keeping, feed_one
from servers.message import (
    CLOSES,
    CONTINUE,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    STAYS,
    STAYS_1_0,
    AcceptedResponses,
    Message,
    problem_response,
    response,
    without_body,
)
from servers.options import Workload
from servers.problem import Problem
from servers.rate_limit import TokenBuckets
from servers.telemetry import ROW, Recorder

log = logging.getLogger("servers")

Linger = Callable[[socket.socket], None]
# As it is sent: headers, body, and as much again for the framing of chunks.
MAX_REQUEST_BYTES = MAX_HEADER_BYTES + 2 * MAX_BODY_BYTES
_ALLOW = {b"/metrics": "POST", b"/healthz": "GET, HEAD"}


class RequestPath:
    """Answers connections. Any number of them may be in `serve` at the same time.

    `workload` is what a handler does besides; `linger` takes over a socket whose error response the
    client may still be kept from reading; `keeping`: the rules of connections that stay (None: each
    carries one request).
    """

    def __init__(
        self,
        limiter: TokenBuckets,
        linger: Linger,
        workload: Workload,
        keeping: Keeping | None = None,
    ) -> None:
        self._limiter = limiter
        self.linger = linger
        self._workload = workload
        self.cut_off = False  # set when a drain runs out of time: it is the server that leaves
        self.keeping = keeping
        self._accepted = AcceptedResponses()
        self._accepted_and = {line: AcceptedResponses(line) for line in (STAYS, STAYS_1_0)}
        self._accepted_and[CLOSES] = self._accepted

    def serve(self, connection: Connection, recorder: Recorder) -> Steps[None]:
        """Take one request through all steps, and close its connection unless that is to stay.
        Closing this generator in the middle abandons the connection."""
        started_ns = monotonic_ns()
        message = Message()
        try:
            try:
                yield from self._steps(connection, recorder, message, started_ns)
            except Exception as error:
                yield from self._refuse(connection, recorder, message, error)
        except ClientLeft:
            recorder.unanswered(connection, "abandoned" if self.cut_off else "reset")
        except AnswerTimedOut:
            recorder.unanswered(connection, "timed_out")
        except BaseException as error:  # this thread is being killed, or the server is at its end
            if not isinstance(error, GeneratorExit):
                log.exception("a thread was killed in its handler; its request is abandoned")
            recorder.unanswered(connection, "abandoned")
            raise
        finally:
            recorder.waited_ns += started_ns - connection.accepted_ns
            recorder.handled_ns += monotonic_ns() - started_ns

    def _steps(
        self, connection: Connection, recorder: Recorder, message: Message, started_ns: int
    ) -> Steps[None]:
        """The eight steps of a request that goes well, each edge stamped."""
        parse_ns = yield from receive(connection, message, self.keeping is not None)
        if message.target != b"/metrics" or message.method != b"POST":
            answer = route(message, self._end_of(message))
            if answer is not None:
                recorder.answering(200)
                yield from connection.send(answer)
                recorder.answered(200, connection)
                self._close(connection, message)
                return
        received_ns = monotonic_ns()
        self._check_rate(message.client_id or connection.address)
        limited_ns = monotonic_ns()
        value = metric.decode(message.body)
        decoded_ns = monotonic_ns()
        count = metric.validate(value)
        validated_ns = monotonic_ns()
        if self._workload.seconds:
            yield from self._work()
        recorder.answering(202, count)
        worked_ns = monotonic_ns()
        accepted = self._accepted
        if self.keeping is not None:
            accepted = self._accepted_and[self._end_of(message)]
        yield from connection.send(accepted(count))
        written_ns = monotonic_ns()
        recorder.answered(202, connection)
        recorder.metrics += count
        self._close(connection, message)
        recorder.rows.append(
            ROW.pack(
                started_ns - connection.accepted_ns,  # dispatch
                received_ns - started_ns - parse_ns,  # read
                parse_ns,
                limited_ns - received_ns,
                decoded_ns - limited_ns,
                validated_ns - decoded_ns,
                written_ns - worked_ns,
                monotonic_ns() - written_ns,  # close
            )
        )

    def _check_rate(self, client: str) -> None:
        wait_s = self._limiter.wait_s(client)
        if wait_s > 0:
            seconds = str(math.ceil(wait_s))
            raise Problem(429, "This client is over its rate.", (("Retry-After", seconds),))

    def _refuse(
        self, connection: Connection, recorder: Recorder, message: Message, error: Exception
    ) -> Steps[None]:
        """Answer what went wrong. Raises `ClientLeft` or `AnswerTimedOut` when nobody listens."""
        if isinstance(error, ClientLeft | AnswerTimedOut):
            raise error
        if isinstance(error, Problem):
            problem = error
            recorder.deadlines_missed += problem.status == 408
        else:
            log.error("a handler raised; the client gets 500", exc_info=error)
            recorder.handler_errors += 1
            problem = Problem(500, "The server made a mistake; its log says more.")
        answer = problem_response(problem, self._end_of(message))
        recorder.answering(problem.status)
        is_head = message.headers_complete and message.method == b"HEAD"
        yield from connection.send(without_body(answer) if is_head else answer)
        recorder.answered(problem.status, connection)
        self._close(connection, message)

    def _work(self) -> Steps[None]:
        """The handler's work besides: computing holds the thread, waiting is the backend's."""
        if self._workload.kind == "io":
            yield Pause(monotonic_ns() + int(self._workload.seconds * 1e9))
        else:
            self._workload.compute()

    def _end_of(self, message: Message) -> str:
        """What the answer says of its connection, which stays where this server keeps them, the
        client wants it to, and the request was whole: else nobody knows where the next begins."""
        keeping = self.keeping
        if keeping is None or not message.persistent or keeping.closing:
            message.persistent = False  # as its answer says
            return CLOSES
        return STAYS if message.is_1_1 else STAYS_1_0

    def _close(self, connection: Connection, message: Message) -> None:
        # Closing a socket with unread input sends a reset, which can destroy the response on its
        # way. Whoever may still be sending is left to the housekeeper: half-close, drain, close.
        if message.persistent:
            connection.stays = True
        elif message.complete and not message.trailing:
            connection.sock.close()
        else:
            self.linger(connection.sock)


def receive(connection: Connection, message: Message, keeps: bool = False) -> Steps[int]:
    """Read and parse until `message` is complete; the nanoseconds that parsing took. `keeps`: what
    comes after it stays in the connection, for the next.

    Raises `Problem` for a request that cannot be served and `ClientLeft` when there is none.
    """
    parser = message.parser()
    parse_ns = 0
    received_bytes = 0
    while True:
        data = yield from connection.receive()
        if not data:
            if not received_bytes:
                raise ClientLeft
            raise Problem(400, "The request was cut short.")
        fed_ns = monotonic_ns()
        if keeps:
            connection.received = feed_one(message, parser, data).removeprefix(EMPTY_LINE)
        else:
            message.feed(parser, data)
        parse_ns += monotonic_ns() - fed_ns
        if message.complete:
            if connection.received:
                message.trailing = True
            # A full read may have left something unread, whose reset would destroy the answer.
            message.trailing |= len(data) == RECEIVE_BYTES
            return parse_ns
        # Trailers and chunk extensions have no length of their own. Who sends them faster than
        # they are read would never make recv() wait, and so never meet the deadline.
        received_bytes += len(data)
        if received_bytes > MAX_REQUEST_BYTES:
            raise Problem(413, f"The request is over {MAX_REQUEST_BYTES} bytes as it was sent.")
        if message.headers_complete and message.expects_continue:
            message.expects_continue = False
            yield from connection.send(CONTINUE)


def route(message: Message, connection: str) -> bytes | None:
    """The answer to what is not `POST /metrics`, which gives None. `connection`: what it says of
    it. Raises `Problem`."""
    path, method = message.path, message.method
    allowed = _ALLOW.get(path)
    if allowed is None:
        raise Problem(404, "There is nothing here: try POST /metrics or GET /healthz.")
    if method.decode() not in allowed.split(", "):
        raise Problem(405, f"This path takes {allowed}.", (("Allow", allowed),))
    if path == b"/metrics":
        return None
    answer = response(200, b'{"status": "ok"}', connection=connection)
    return without_body(answer) if method == b"HEAD" else answer
