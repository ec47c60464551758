"""An accepted connection, its deadline, and the ways of reading, writing and closing it.

Nothing here waits but `Connection.wait`. Reading and writing are generators that yield what they
have to wait for, so that the backend decides how: a thread of the connection's own waits, an event
loop serves others meanwhile.
"""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections.abc import Generator
from typing import Final, NamedTuple, TypeAlias, TypeVar

from servers.keeping import EMPTY_LINE, Keeping
from servers.problem import Problem

RECEIVE_BYTES: Final = 4 * 1024
READABLE: Final = selectors.EVENT_READ
WRITABLE: Final = selectors.EVENT_WRITE
_Result = TypeVar("_Result")


class Pause(NamedTuple):
    """A wait for nothing but the time: until `until_ns` on the monotonic clock."""

    until_ns: int


Wait: TypeAlias = int | Pause  # READABLE or WRITABLE until the connection's deadline; or a pause
# Steps that end in a result and yield each wait on the way. To be resumed when it is over.
Steps: TypeAlias = Generator[Wait, None, _Result]


class ClientLeft(Exception):
    """The client closed or reset the connection; there is nobody to answer."""


class AnswerTimedOut(Exception):
    """The client did not take the response before the deadline."""


class Connection:
    """One accepted socket. Held by one thread at a time: acceptor, then handler.

    `accepted_ns` is when accept() returned, on the monotonic clock. `deadline_ns` is for the
    whole request and counts from there, so a byte a second does not hold a thread, and time
    spent waiting for a thread is not given back to a slow client.

    Where connections stay (`servers.keeping`) both are of the request that it carries:
    `accepted_ns` is when its first bytes were seen, or accept() returned if they were there by
    then. `received` has come in and is not read yet; `stays` says that the last answer did not end
    it, `idle_ns` since when it has had no request, and `overdue` that this was too long.
    """

    __slots__ = (
        "_unclaimed",
        "accepted_ns",
        "address",
        "deadline_ns",
        "idle_ns",
        "overdue",
        "received",
        "sock",
        "stays",
    )

    def __init__(
        self, sock: socket.socket, address: str, accepted_ns: int, deadline_ns: int
    ) -> None:
        self.sock = sock
        self.address = address
        self.accepted_ns = accepted_ns
        self.deadline_ns = deadline_ns
        self.idle_ns = accepted_ns
        self.received = b""
        self.stays = False
        self.overdue = False
        self._unclaimed = [True]

    def claim(self) -> bool:
        """Any thread: True for one caller alone, who answers this connection and counts its end.

        Only a backend that hands it over and then raises has two of them. A pop is atomic, with
        the GIL and without it.
        """
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False

    def hand_over_again(self) -> None:
        """Poller: it is to be claimed for one more request."""
        self._unclaimed.append(True)

    def receive(self) -> Steps[bytes]:
        """The next bytes; b"" at the end. Raises `ClientLeft`, or `Problem` 408 at the deadline.

        What has already come in is taken even after the deadline, so that a connection that
        waited long for a thread still gets its answer.
        """
        if self.received:
            data, self.received = self.received, b""
            return data
        while True:
            try:
                return self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass  # rare: the server was faster than the client
            except OSError as error:
                raise ClientLeft from error
            if time.monotonic_ns() >= self.deadline_ns:
                raise self._too_late()
            yield READABLE

    def rest(self) -> None:
        """Holder: the last answer is out, and the connection stays."""
        self.accepted_ns = self.idle_ns = time.monotonic_ns()

    def begin(self, began_ns: int, request_ns: int) -> None:
        """Holder: a request has begun; it may take `request_ns`."""
        self.accepted_ns = began_ns
        self.deadline_ns = began_ns + request_ns
        self.stays = False

    def next_request(self, keeping: Keeping) -> Steps[None]:
        """Wait for the first bytes of a request, with which it begins. Without any in `received`
        there is none to come: the client has left, it took too long, or the server stops."""
        began_ns = self.accepted_ns
        self.deadline_ns = self.idle_ns + keeping.idle_ns
        look = not self.stays or keeping.closing  # a new one has mostly sent its request already
        skip = EMPTY_LINE if self.stays else b""
        while not self.received:
            if look:
                data = self._look()
                if data == b"":
                    return
                self.overdue = time.monotonic_ns() >= self.deadline_ns
                if data is None and (self.overdue or keeping.closing):
                    return
                self.received = (data or b"").removeprefix(skip)
                skip = skip if data is None else b""
            if not self.received:
                yield READABLE
                began_ns, look = time.monotonic_ns(), True
        self.overdue = False
        self.begin(began_ns, keeping.request_ns)

    def _look(self) -> bytes | None:
        """What has come in; b"" where the client has left, None where it is silent."""
        try:
            return self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def send(self, answer: bytes) -> Steps[None]:
        """Send all of `answer`. Raises `ClientLeft` or `AnswerTimedOut`."""
        sent = 0
        while True:
            try:
                left = memoryview(answer)[sent:] if sent else answer
                sent += self.sock.send(left, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError as error:
                raise ClientLeft from error
            if sent == len(answer):
                return
            if time.monotonic_ns() >= self.deadline_ns:
                raise AnswerTimedOut
            yield WRITABLE

    def wait(self, wait: Wait) -> None:
        """A thread of this connection's own: wait until `wait` or the deadline is over.

        Not settimeout(): a socket with a Python timeout polls before every call, so that even
        MSG_DONTWAIT would wait, and for as long as was left some calls ago. Not SO_RCVTIMEO: its
        time begins anew whenever a signal, a debugger or a profiler interrupts the call.
        """
        if isinstance(wait, Pause):
            time.sleep(max(0, wait.until_ns - time.monotonic_ns()) / 1e9)
            return
        poll = select.poll()
        poll.register(self.sock, select.POLLIN if wait == READABLE else select.POLLOUT)
        poll.poll(max(0, self.deadline_ns - time.monotonic_ns()) / 1e6)

    def abort(self) -> None:
        """Any thread: wake whoever reads or writes this connection, and end it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def end_reading(self) -> None:
        """Any thread: whoever waits for the next request reads what has come in, and then its end.
        An answer that is on its way is not touched."""
        try:
            self.sock.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # it has ended by itself

    def has_bytes(self) -> bool:
        """Holder: whether something has come in that is not read."""
        if self.received:
            return True
        try:
            return bool(self.sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except OSError:
            return False

    def _too_late(self) -> Problem:
        allowed_s = (self.deadline_ns - self.accepted_ns) / 1e9
        return Problem(408, f"The request was not complete in {allowed_s:g} s.")
