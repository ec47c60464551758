"""An accepted connection, its deadline, and the ways of reading, writing and closing it."""

from __future__ import annotations

import socket
import time
from typing import Final

from servers.problem import Problem

# For the whole request, from accept: a byte a second must not hold a thread.
REQUEST_DEADLINE_S: Final = 5.0
_DEADLINE_NS: Final = int(REQUEST_DEADLINE_S * 1e9)
_RECEIVE_BYTES: Final = 4 * 1024


class ClientLeft(Exception):
    """The client closed or reset the connection; there is nobody to answer."""


class AnswerTimedOut(Exception):
    """The client did not take the response before the deadline."""


class Connection:
    """One accepted socket. Held by one thread at a time: acceptor, then handler.

    `accepted_ns` is when accept() returned, on the monotonic clock; the deadline counts from
    there, so time spent waiting for a thread is not given back to a slow client.
    """

    __slots__ = ("accepted_ns", "address", "sock")

    def __init__(self, sock: socket.socket, address: str, accepted_ns: int) -> None:
        self.sock = sock
        self.address = address
        self.accepted_ns = accepted_ns

    def receive(self) -> bytes:
        """The next bytes; b"" at the end. Raises `ClientLeft`, or `Problem` 408 at the deadline.

        What has already come in is taken even after the deadline, so that a connection that
        waited long for a thread still gets its answer.
        """
        try:
            return self.sock.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass  # rare: the thread was faster than the client
        except ConnectionError as error:
            raise ClientLeft from error
        try:
            self.sock.settimeout(self._remaining_s())
            return self.sock.recv(_RECEIVE_BYTES)
        except TimeoutError as error:
            raise Problem(408, f"The request was not complete in {REQUEST_DEADLINE_S:g} s.") from error
        except ConnectionError as error:
            raise ClientLeft from error

    def send(self, answer: bytes) -> None:
        """Send all of `answer`. Raises `ClientLeft` or `AnswerTimedOut`."""
        try:
            sent = self.sock.send(answer, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except ConnectionError as error:
            raise ClientLeft from error
        if sent == len(answer):
            return
        try:
            self.sock.settimeout(self._remaining_s())
            self.sock.sendall(answer[sent:])
        except TimeoutError as error:
            raise AnswerTimedOut from error
        except ConnectionError as error:
            raise ClientLeft from error

    def abort(self) -> None:
        """Any thread: wake whoever reads or writes this connection, and end it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def _remaining_s(self) -> float:
        """Seconds until the deadline. Raises TimeoutError when there are none."""
        remaining_ns = self.accepted_ns + _DEADLINE_NS - time.monotonic_ns()
        if remaining_ns <= 0:
            raise TimeoutError
        return remaining_ns / 1e9
