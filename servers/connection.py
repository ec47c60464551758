"""An accepted connection, its deadline, and the ways of reading, writing and closing it."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

from servers.problem import Problem

RECEIVE_BYTES: Final = 4 * 1024


class ClientLeft(Exception):
    """The client closed or reset the connection; there is nobody to answer."""


class AnswerTimedOut(Exception):
    """The client did not take the response before the deadline."""


class Connection:
    """One accepted socket. Held by one thread at a time: acceptor, then handler.

    `accepted_ns` is when accept() returned, on the monotonic clock. `deadline_ns` is for the
    whole request and counts from there, so a byte a second does not hold a thread, and time
    spent waiting for a thread is not given back to a slow client.
    """

    __slots__ = ("_unclaimed", "accepted_ns", "address", "deadline_ns", "sock")

    def __init__(
        self, sock: socket.socket, address: str, accepted_ns: int, deadline_ns: int
    ) -> None:
        self.sock = sock
        self.address = address
        self.accepted_ns = accepted_ns
        self.deadline_ns = deadline_ns
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

    def receive(self) -> bytes:
        """The next bytes; b"" at the end. Raises `ClientLeft`, or `Problem` 408 at the deadline.

        What has already come in is taken even after the deadline, so that a connection that
        waited long for a thread still gets its answer.
        """
        try:
            return self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass  # rare: the thread was faster than the client
        except OSError as error:
            raise ClientLeft from error
        if not self._may_wait(socket.SO_RCVTIMEO):
            raise self._too_late()
        try:
            return self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError as error:
            raise self._too_late() from error
        except OSError as error:
            raise ClientLeft from error

    def send(self, answer: bytes) -> None:
        """Send all of `answer`. Raises `ClientLeft` or `AnswerTimedOut`."""
        try:
            sent = self.sock.send(answer, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientLeft from error
        while sent < len(answer):
            if not self._may_wait(socket.SO_SNDTIMEO):
                raise AnswerTimedOut
            try:
                sent += self.sock.send(memoryview(answer)[sent:])
            except BlockingIOError as error:
                raise AnswerTimedOut from error
            except OSError as error:
                raise ClientLeft from error

    def abort(self) -> None:
        """Any thread: wake whoever reads or writes this connection, and end it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def _may_wait(self, option: int) -> bool:
        """Let the next blocking call wait until the deadline; False when that has passed.

        Not settimeout(): a socket with a Python timeout polls before every call, so that even
        MSG_DONTWAIT would wait, and for as long as was left some calls ago.
        """
        remaining_us = (self.deadline_ns - time.monotonic_ns()) // 1000
        if remaining_us <= 0:
            return False
        timeval = struct.pack("@ll", *divmod(remaining_us, 1_000_000))
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, option, timeval)
        except OSError as error:
            raise ClientLeft from error
        return True

    def _too_late(self) -> Problem:
        allowed_s = (self.deadline_ns - self.accepted_ns) / 1e9
        return Problem(408, f"The request was not complete in {allowed_s:g} s.")
