"""One of several processes that serve one port: as it is itself, and as its master has it.

They speak over a pair of sockets: the master asks by a letter, and gets a length and a body. Its
end is the other's end.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import time
from functools import partial

import msgspec

from servers.backend import Backend
from servers.housekeeper import Housekeeper
from servers.ledger import KeptAcceptor, KeptRecorder, Ledger
from servers.options import ServerOptions
from servers.rate_limit import TokenBuckets
from servers.report import Report, Sample
from servers.server import Place, Server
from servers.sums import Part, at_its_end
from servers.telemetry import Telemetry

log = logging.getLogger("servers")

_LENGTH = struct.Struct("!Q")
SAMPLE, PART, WINDOW = b"s", b"p", b"w"
READY = b""  # what a child says first; anything else is why it cannot start
_ANSWER_S = 10.0  # for a child to answer its master
_START_S = 20.0


class ChildLost(Exception):
    """A child has ended."""


class Child:
    """A child of this process. Made before the fork, and in both of them after it."""

    def __init__(self, place: int, listener: socket.socket, handlers: int) -> None:
        self.place = place
        self.listener = listener
        self.ledger = Ledger(handlers)
        self.master_end, self.own_end = socket.socketpair()
        self.born_ns = time.monotonic_ns()
        self.pid = 0
        self.pidfd = -1
        self.rows_before = 0  # answers of which the stage times are of no window that is open
        self._owed = 1  # answers that have not been taken; at first, that it is ready
        self._received = b""

    def forked(self, pid: int) -> None:
        """In the master: that is its number."""
        self.own_end.close()
        self.pid, self.pidfd = pid, os.pidfd_open(pid)

    def close(self) -> None:
        """What the master has of it."""
        self.master_end.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)

    def must_start(self) -> None:
        """Wait until it is ready. Raises `RuntimeError` with the reason why it cannot be, or that
        it ended."""
        try:
            said = self.answer(time.monotonic() + _START_S)
        except ChildLost:
            said = b"a process ended as soon as it was there"
        if said != READY:
            raise RuntimeError(said.decode())
        self.ask(PART)
        self.last = self.part().report

    def ask(self, what: bytes) -> None:
        """Have it make a report; its answer is to be taken."""
        try:
            self.master_end.sendall(what)
        except OSError:
            return  # it is gone, as whoever waits for the answer finds
        self._owed += 1

    def part(self) -> Part:
        """The answer to `PART`. Raises `ChildLost`, or TimeoutError."""
        part = msgspec.msgpack.decode(self.answer(time.monotonic() + _ANSWER_S), type=Part)
        self.last = part.report
        return part

    def window(self) -> Part:
        """The answer to `WINDOW`. Raises `ChildLost`, or TimeoutError."""
        part = self.part()
        self.rows_before = part.report.counters.answered_by_status.get("202", 0)
        return part

    def sample(self) -> Sample:
        """The answer to `SAMPLE`. Raises `ChildLost`, or TimeoutError."""
        return msgspec.msgpack.decode(self.answer(time.monotonic() + _ANSWER_S), type=Sample)

    def answer(self, until_s: float) -> bytes:
        """Its newest answer; what came too late for whoever asked before is thrown away. Raises
        `ChildLost`, or TimeoutError of one that is silent."""
        while True:
            body = self._frame()
            if body is None:
                self._receive(until_s)
                continue
            self._owed -= 1
            if self._owed <= 0:
                return body

    def _frame(self) -> bytes | None:
        if len(self._received) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) < end:
            return None
        body, self._received = self._received[_LENGTH.size : end], self._received[end:]
        return body

    def _receive(self, until_s: float) -> None:
        self.master_end.settimeout(max(0.001, until_s - time.monotonic()))
        try:
            data = self.master_end.recv(1 << 20)
        except TimeoutError:
            raise TimeoutError(f"process {self.pid} does not answer") from None
        except OSError:
            data = b""
        if not data:
            raise ChildLost
        self._received += data

    def bury(self) -> Report:
        """End it, if it has not ended, and let it go; what it had counted, as its last report."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        _, self._wait_status, usage = os.wait4(self.pid, 0)
        self.close()
        self.in_hand = self.ledger.counters().in_progress
        return at_its_end(self.last, self.ledger, usage, time.monotonic_ns())

    def how_it_ended(self) -> str:
        """In words, once it is buried."""
        code = os.waitstatus_to_exitcode(self._wait_status)
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class ChildServer(Server):
    """The server in a child: it accepts on what it was given, counts in its ledger, and answers its
    master alone."""

    def __init__(
        self,
        options: ServerOptions,
        backend_class: type[Backend],
        child: Child,
        limiter: TokenBuckets,
    ) -> None:
        self._master = child.own_end
        telemetry = Telemetry(child.ledger.recorder)
        acceptor = partial(KeptAcceptor, child.ledger)
        super().__init__(
            options, backend_class, Place(child.listener, telemetry, limiter, acceptor)
        )

    def _make_housekeeper(self) -> Housekeeper:
        self.control = None
        housekeeper = Housekeeper(None)
        housekeeper.watch(self._master, self._asked)
        return housekeeper

    # ---- main thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Raises RuntimeError where there is no room for its threads; its master is told."""
        try:
            super().start()
        except RuntimeError as error:
            self._say(str(error).encode())
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the master drains
        self._say(READY)

    def _last_account(self) -> int:
        recorders = [*self.telemetry.recorders(), self.acceptor.recorder]
        for recorder in recorders:
            if isinstance(recorder, KeptRecorder):
                recorder.keep()
        return 0

    # ---- housekeeping thread ----------------------------------------------------------------

    def _stop_again(self) -> None:
        """Nothing: whoever stops a service may signal all of it, and so does the master."""

    def _asked(self) -> None:
        try:
            letters = self._master.recv(64)
        except OSError:
            letters = b""
        if not letters:
            self._parent_gone()
        for letter in letters.decode("ascii"):
            self._say(self._answer(letter.encode("ascii")))

    def _answer(self, letter: bytes) -> bytes:
        if letter == SAMPLE:
            return msgspec.msgpack.encode(self.sample())
        if letter == WINDOW:
            self.open_window()
        try:
            report, rows = self.report_without_stages(), b"".join(self.telemetry.stage_rows())
        except Exception:  # a backend's own gauges are asked here; the thread must outlive them
            log.exception("a process could not report")
            return b""
        return msgspec.msgpack.encode(Part(report, rows))

    def _say(self, body: bytes) -> None:
        try:
            self._master.sendall(_LENGTH.pack(len(body)) + body)
        except OSError:
            self._parent_gone()
