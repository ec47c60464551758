"""HTTP/1.x on the wire: one request in, one response out, then the connection closes, unless it is
to stay (`servers.keeping`)."""

from __future__ import annotations

import hashlib
import time
from email.utils import formatdate
from http import HTTPStatus

import httptools

from servers.options import KIB, MIB
from servers.problem import PROBLEM_TYPE, Problem

MAX_HEADER_BYTES = 16 * KIB
MAX_BODY_BYTES = 1 * MIB
MAX_CLIENT_ID_BYTES = 128  # longer ones are hashed, which bounds the memory of the table of clients

# The line of an answer that says what becomes of its connection. HTTP/1.1 stays unless told else.
CLOSES, STAYS, STAYS_1_0 = "Connection: close\r\n", "", "Connection: keep-alive\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HEADERS_READ = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"x-client-id", b"expect")
)
_HTTP_VERSIONS = (b" HTTP/1.1", b" HTTP/1.0")


class Message:
    """A request as it comes in: `feed` it what was received until it is `complete`.

    llhttp (through httptools) does the parsing, strictly: what request smuggling lives on
    (a bare LF, both lengths, a folded header, a signed length) is an error. What follows the
    first request on a connection is ignored, since each connection carries one; where connections
    stay it is not fed (`servers.keeping.feed_one`), and `persistent` says what the client wants.

    A message does not hold its parser: the parser holds the message, and a cycle of the two would
    leave every request to the garbage collector.
    """

    __slots__ = (
        "_body_parser",
        "_chunked",
        "_head",
        "_hosts",
        "_is_1_1",
        "_length",
        "_other_coding",
        "body",
        "client_id",
        "complete",
        "expects_continue",
        "headers_complete",
        "method",
        "parsing",
        "persistent",
        "target",
        "trailing",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.client_id: str | None = None
        self.body: bytes | bytearray = b""
        self.complete = False
        self.headers_complete = False
        self.expects_continue = False
        self.trailing = False  # bytes beyond the first request have come in
        self.parsing: httptools.HttpRequestParser | None = None  # where connections stay
        self.persistent = False  # it is complete, and its client wants the connection to stay
        self._is_1_1 = True
        self._hosts = 0
        self._length = 0
        self._chunked = False
        self._other_coding = False
        self._body_parser: httptools.HttpRequestParser | None = None
        self._head: bytes | None = b""

    def parser(self) -> httptools.HttpRequestParser:
        """A new parser that fills in this message."""
        return httptools.HttpRequestParser(self)

    @property
    def path(self) -> bytes:
        """The target without scheme, authority and query."""
        path = self.target.partition(b"?")[0]
        if path.startswith(b"/"):
            return path
        scheme, separator, rest = path.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            return path
        return b"/" + rest.partition(b"/")[2]

    @property
    def is_1_1(self) -> bool:
        """Whether it is of HTTP/1.1, once its first line has come in."""
        return self._is_1_1

    @property
    def chunked(self) -> bool:
        """Whether its body comes in chunks, once the headers are complete."""
        return self._chunked

    @property
    def body_left(self) -> int:
        """How much of a body with a length has not come in; 1 at least, of one that is too long."""
        return max(1, self._length - len(self.body))

    def until_end_of_head(self, data: bytes) -> int:
        """How many of these bytes, that came in next, are of the head."""
        before = self._head or b""
        head = before + data
        start = 0
        while head.startswith(b"\r\n", start):
            start += 2
        end = head.find(b"\r\n\r\n", start)
        return len(data) if end < 0 else max(1, end + 4 - len(before))

    def feed(self, parser: httptools.HttpRequestParser, data: bytes) -> None:
        """Take in what was received. Raises `Problem` when it cannot become a good request."""
        if self._head is not None:
            self._check_head(data)
        try:
            try:
                (self._body_parser or parser).feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            # An error behind the first request is about bytes that nobody will read.
            if not self.complete:
                raise Problem(400, f"This is not HTTP/1.1: {error}.") from error
            self.trailing = True
        if self.headers_complete:
            self._check_request()

    def _decline_upgrade(self, rest: bytes) -> None:
        """No protocol is switched to, so what follows the headers is a body as in any request.

        llhttp takes no body after an offer to switch protocols; a second parser, told of the
        same framing, does. It makes a cycle with this message, so it is let go at the end. The
        connection does not stay.
        """
        self.persistent = False
        if self.method == b"CONNECT" or not (self._length or self._chunked):
            self.complete = True
            self.trailing = bool(rest)
            return
        self.complete = False
        framing = (
            "Transfer-Encoding: chunked" if self._chunked else f"Content-Length: {self._length}"
        )
        self._body_parser = self.parser()
        self._body_parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode() + rest)

    def _check_head(self, data: bytes) -> None:
        """Version and size of the head, which llhttp leaves to its user."""
        head = self._head + data if self._head else data
        start = 0
        while head.startswith(b"\r\n", start):  # llhttp skips empty lines before a request
            start += 2
        if head[start : start + 1] in (b"\r", b"\n") and head[start:] != b"\r":
            raise Problem(400, "This is not HTTP/1.1: a line ends with CRLF, an empty one too.")
        line_end = head.find(b"\r\n", start)
        if line_end >= 0:
            # A bare LF ends the line of HTTP/0.9 to the parser, and whatever follows is a header.
            lf = head.find(b"\n", start)
            if lf <= line_end or not head.endswith(_HTTP_VERSIONS, start, line_end):
                raise Problem(400, "This is not HTTP/1.1: the request line must end with HTTP/1.1.")
            # Taken from here: the parser may have gone on to a pipelined request.
            self._is_1_1 = head.endswith(b"1", start, line_end)
            self.method = head[start : head.find(b" ", start)]
        end = head.find(b"\r\n\r\n", start)
        if (len(head) if end < 0 else end + 4) > MAX_HEADER_BYTES:
            raise Problem(431, f"The headers are over {MAX_HEADER_BYTES} bytes.")
        self._head = head if end < 0 else None

    def _check_request(self) -> None:
        if self._length > MAX_BODY_BYTES or len(self.body) > MAX_BODY_BYTES:
            raise Problem(413, f"The body is over {MAX_BODY_BYTES} bytes.")
        # RFC 9112 6.1: what this server cannot undo, and what HTTP/1.0 does not know. Where such a
        # body ends is for guessing, which is what request smuggling lives on.
        if self._other_coding or (self._chunked and not self._is_1_1):
            raise Problem(400, "The only transfer coding here is chunked, in HTTP/1.1.")
        if self._hosts != 1 and (self._hosts or self._is_1_1):
            raise Problem(400, f"A request has one Host header; this one has {self._hosts}.")

    # What follows is called by the parser while it is fed.

    def on_message_begin(self) -> None:
        if self.complete:
            self.trailing = True

    def on_url(self, url: bytes) -> None:
        if not self.headers_complete:
            self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name not in _HEADERS_READ or self.headers_complete:  # trailers, pipelined requests
            return
        if name == b"host":
            self._hosts += 1
        elif name == b"content-length":
            self._length = int(value) if len(value) < 20 else MAX_BODY_BYTES + 1
        elif name == b"x-client-id":
            self.client_id = client_key(value)
        elif name == b"transfer-encoding":
            self._chunked = True
            self._other_coding |= value.strip().lower() != b"chunked"
        else:
            # RFC 9110 10.1.1: to be ignored in HTTP/1.0, where nobody knows of interim responses.
            self.expects_continue = self._is_1_1 and value.strip().lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self.headers_complete = True

    def on_body(self, data: bytes) -> None:
        # One byte over the limit is enough to refuse it; the rest is not kept.
        if self.complete or len(self.body) > MAX_BODY_BYTES:
            return
        if not self.body:
            self.body = data  # nearly always the only piece, so nothing is copied
            return
        if isinstance(self.body, bytes):
            self.body = bytearray(self.body)
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True
        if self.parsing is not None and self._body_parser is None:  # it knows until this returns
            self.persistent = self.parsing.should_keep_alive()
        self._body_parser = None


def client_key(client_id: bytes) -> str:
    """The rate-limit key of a client that names itself: like no address, and like no other name.

    Empty for an empty name, which names nobody. A long one is known by its hash, so that the table
    of clients stays within its memory.
    """
    if len(client_id) <= MAX_CLIENT_ID_BYTES:
        return f"id:{client_id.decode('latin-1')}" if client_id else ""
    return f"hash:{hashlib.blake2b(client_id, digest_size=32).hexdigest()}"


def response(
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: tuple[tuple[str, str], ...] = (),
    connection: str = CLOSES,
) -> bytes:
    """The bytes of a response. `connection`: what becomes of its connection, `CLOSES`, `STAYS` or
    `STAYS_1_0`."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{lines}{connection}\r\n"
    )
    return head.encode("latin-1") + body


def problem_response(problem: Problem, connection: str = CLOSES) -> bytes:
    """The bytes of an error response."""
    return response(problem.status, problem.body(), PROBLEM_TYPE, problem.headers, connection)


def without_body(answer: bytes) -> bytes:
    """The same response for HEAD: Content-Length tells what GET would have sent."""
    return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


class AcceptedResponses:
    """`202` for a number of metrics, rendered once a second: only its Date changes."""

    def __init__(self, connection: str = CLOSES) -> None:
        self._connection = connection
        self._rendered: tuple[int, dict[int, bytes]] = (0, {})

    def __call__(self, count: int) -> bytes:
        """Any thread. Two threads may render the same response; either serves."""
        second = int(time.time())
        rendered_at, responses = self._rendered
        if second != rendered_at:
            responses = {}
            self._rendered = (second, responses)
        found = responses.get(count)
        if found is None:
            body = b'{"accepted": %d}' % count
            found = responses[count] = response(202, body, connection=self._connection)
        return found
