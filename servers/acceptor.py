"""The acceptor: takes connections from the listening socket and hands each to the backend.

It counts what comes in and answers what the backend cannot take. Everything here runs on the main
thread, where signal handlers run too.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import time
from collections.abc import Callable
from enum import Enum, auto

from servers.connection import AnswerTimedOut, ClientLeft, Connection
from servers.message import problem_response
from servers.problem import Problem
from servers.telemetry import Recorder

log = logging.getLogger("servers")

ACCEPT_BACKOFF_S = 0.05
_ACCEPT_WAIT_US = 250_000
_EPISODE_GAP_NS = 1_000_000_000  # out of descriptors again after this long is a new episode
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Dispatch = Callable[[Connection], None]
Linger = Callable[[socket.socket], None]


class Overloaded(Exception):
    """A backend cannot take a connection now; the client gets 503 at once.

    `counter` says which limit it was: `queue_full`, `no_thread`, or a name of the backend's own,
    under which the report counts it.
    """

    def __init__(self, reason: str, counter: str) -> None:
        super().__init__(reason)
        self.counter = counter


class Accepted(Enum):
    """How one call of `Acceptor.accept` ended."""

    ONE = auto()  # a connection was taken and dispatched, or one failed
    NOBODY = auto()  # nobody is waiting
    NO_ROOM = auto()  # the system is out of something: call again after ACCEPT_BACKOFF_S


class Acceptor:
    """Accepts on `listener`, until a signal and then whatever the kernel's backlog still holds.

    `deadline_ns` is how long a request may take in all; `linger` takes over a socket whose answer
    the client may still be kept from reading. `keeps`: connections stay, so that to accept one is
    to accept no request yet; `recorder` counts those that reach no handler.
    """

    def __init__(
        self,
        listener: socket.socket,
        backlog: int,
        deadline_ns: int,
        linger: Linger,
        keeps: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        self.listener = listener
        self._keeps = keeps
        self._backlog = backlog
        self._deadline_ns = deadline_ns
        self._linger = linger
        self.stopping = False
        self.stopped = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)  # readable once it stops
        self.recorder = recorder or Recorder()
        self.accepted = 0  # requests, as far as they begin here
        self.connections = 0
        self.dispatch_errors = 0
        self.accept_errors = 0
        self.descriptor_episodes = 0
        self._stopping_ns = 0
        self._no_room = False  # how the last call ended
        self._no_room_ns = -_EPISODE_GAP_NS  # when accept was last tried again
        # A signal that comes just before accept() begins to wait would not interrupt it; this does.
        wait = struct.pack("@ll", 0, _ACCEPT_WAIT_US)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)

    def run(self, dispatch: Dispatch) -> None:
        """Accept and dispatch until `stop`, then whatever the kernel's backlog holds."""
        while not self.stopping:
            if self.accept(dispatch) is Accepted.NO_ROOM:
                # Nothing tells when a descriptor comes back, so this looks again.
                time.sleep(ACCEPT_BACKOFF_S)
        self.empty_backlog(dispatch)

    def empty_backlog(self, dispatch: Dispatch, rest: Callable[[float], None] = time.sleep) -> None:
        """After `stop`, once: take what the kernel's backlog already holds.

        Where the system is out of something, `rest` (seconds) before it looks again, for as long as
        a request may take.
        """
        left = self._backlog
        while left > 0:
            outcome = self.accept(dispatch)
            if outcome is Accepted.NOBODY:
                return
            if outcome is Accepted.ONE:
                left -= 1
            elif time.monotonic_ns() - self._stopping_ns > self._deadline_ns:
                return
            else:
                rest(ACCEPT_BACKOFF_S)

    def accept(self, dispatch: Dispatch) -> Accepted:
        """Take one connection and dispatch it. Waits for one where the listener is blocking, for a
        quarter of a second at most."""
        if self._no_room:
            # After the pause: one that took long, on a machine that stood still, ends no episode.
            self._no_room, self._no_room_ns = False, time.monotonic_ns()
        try:
            sock, address = self.listener.accept()
        except BlockingIOError:
            return Accepted.NOBODY
        except OSError as error:
            return self._failed(error)
        now_ns = time.monotonic_ns()
        connection = Connection(sock, address[0], now_ns, now_ns + self._deadline_ns)
        self.connections += 1
        if not self._keeps:
            self.accepted += 1
        try:
            dispatch(connection)
        except BaseException as error:  # whatever a backend does, the acceptor outlives it
            self._not_dispatched(connection, error, begun=not self._keeps)
        return Accepted.ONE

    def request(self, connection: Connection, dispatch: Dispatch) -> None:
        """A poller on this thread: a request has come in on a connection that stays."""
        connection.begin(time.monotonic_ns(), self._deadline_ns)
        connection.hand_over_again()
        self.accepted += 1
        try:
            dispatch(connection)
        except BaseException as error:
            self._not_dispatched(connection, error, begun=True)

    def stop(self) -> None:
        """Signal handler, or another thread: end `run` once the backlog is empty."""
        self._stopping_ns = time.monotonic_ns()
        self.interrupt()  # before anybody knows, and closes the listener
        self.stopping = True
        os.eventfd_write(self.stopped, 1)

    def interrupt(self) -> None:
        """Signal handler, or another thread: let an accept() that waits come to its end."""
        # It is interrupted by the signal and tried again by Python; on a non-blocking listener the
        # second try fails when there is nobody left to accept.
        os.set_blocking(self.listener.fileno(), False)

    def _failed(self, error: OSError) -> Accepted:
        """Count it. Where it is this one connection (say, reset while it waited), the next may be
        taken."""
        self.accept_errors += 1
        if error.errno not in _OUT_OF_RESOURCES:
            return Accepted.ONE
        # At the limit each connection that ends lets one in: that is still the same episode.
        if time.monotonic_ns() - self._no_room_ns > _EPISODE_GAP_NS:
            self.descriptor_episodes += 1
            log.error(
                "cannot accept: %s; waiting for it to pass (raise the limit with ulimit -n)",
                error.strerror,
            )
        self._no_room = True
        return Accepted.NO_ROOM

    def _not_dispatched(self, connection: Connection, error: BaseException, begun: bool) -> None:
        """Say no at once, without waiting for the client: 503 or 500, half-close, hand over.
        `begun`: its request is counted."""
        handed_over = not connection.claim()  # before it raised: its answer comes from there
        if not handed_over and not begun:
            self.accepted += 1
        if isinstance(error, Overloaded) and not handed_over:
            turn_away(connection, self.recorder, error, self._linger)
            return
        log.error("the backend could not dispatch; the client gets 500", exc_info=error)
        self.dispatch_errors += 1
        if not handed_over:
            problem = Problem(500, "The server made a mistake; its log says more.")
            answer_at_once(connection, self.recorder, problem, self._linger)


def turn_away(
    connection: Connection, recorder: Recorder, limit: Overloaded, linger: Linger
) -> None:
    """Answer 503 and count which limit it was."""
    counter = str(limit.counter)
    recorder.rejected[counter] = recorder.rejected.get(counter, 0) + 1
    problem = Problem(503, f"The server is at its limit: {limit}.", (("Retry-After", "1"),))
    answer_at_once(connection, recorder, problem, linger)


def answer_at_once(
    connection: Connection, recorder: Recorder, problem: Problem, linger: Linger
) -> None:
    """Send `problem` without looking at the request, half-close, and let `linger` do the rest."""
    recorder.answering(problem.status)
    try:
        for wait in connection.send(problem_response(problem)):
            connection.wait(wait)
    except ClientLeft:
        recorder.unanswered(connection, "reset")
    except AnswerTimedOut:
        recorder.unanswered(connection, "timed_out")
    else:
        recorder.answered(problem.status, connection)
        linger(connection.sock)
