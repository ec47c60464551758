"""An accepted connection, its deadline, and the ways of reading, writing and closing it."""

from __future__ import annotations

import select
import socket
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
        while True:
            try:
                return self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass  # rare: the thread was faster than the client
            except OSError as error:
                raise ClientLeft from error
            if not self._wait(select.POLLIN):
                raise self._too_late()

    def send(self, answer: bytes) -> None:
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
            if not self._wait(select.POLLOUT):
                raise AnswerTimedOut

    def abort(self) -> None:
        """Any thread: wake whoever reads or writes this connection, and end it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def _wait(self, event: int) -> bool:
        """Until the socket is ready for `event`; False when the deadline has passed.

        Not settimeout(): a socket with a Python timeout polls before every call, so that even
        MSG_DONTWAIT would wait, and for as long as was left some calls ago. Not SO_RCVTIMEO: its
        time begins anew whenever a signal, a debugger or a profiler interrupts the call.
        """
        remaining_ns = self.deadline_ns - time.monotonic_ns()
        if remaining_ns <= 0:
            return False
        poll = select.poll()
        poll.register(self.sock, event)
        return bool(poll.poll(remaining_ns / 1e6))

    def _too_late(self) -> Problem:
        allowed_s = (self.deadline_ns - self.accepted_ns) / 1e9
        return Problem(408, f"The request was not complete in {allowed_s:g} s.")
