"""Backends that go wrong on purpose, named as `faulty:Pool`, `faulty:Threads`, `faulty:Loop` and
`faulty:Forked`.

`FAULT` in the environment says how the handlers of the first `FAULTS` requests go wrong, and
`DISPATCH` likewise for the acceptor. At a `GATE`, a FIFO, handlers wait until it is opened.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable

from servers.backend import Backend, Overloaded
from servers.connection import Connection, Pause, Steps
from servers.event_loop import EventLoop
from servers.options import ServerOptions, Workload
from servers.prefork import Prefork
from servers.request_path import RequestPath
from servers.telemetry import Telemetry
from servers.thread_per_request import ThreadPerRequest
from servers.thread_pool import ThreadPoolBackend

# One for each fault that there is to be, of all processes and threads together.
TOKENS = os.eventfd(int(os.environ.get("FAULTS", "1")), os.EFD_SEMAPHORE | os.EFD_NONBLOCK)
WHAT_A_CLIENT_SENT = "\x1b[31mred\nstopped: a forged line\r\u202e"


def fail(fault: str) -> None:
    """What a handler does wrong."""
    if fault == "raise":
        raise ValueError(WHAT_A_CLIENT_SENT)
    if fault == "exit":
        raise SystemExit(3)
    # As a debugger or a supervisor would end a thread from outside.
    thread = ctypes.c_ulong(threading.get_ident())
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(KeyboardInterrupt))


def is_to_fail() -> bool:
    """Takes a token, if there is one left."""
    try:
        return bool(os.eventfd_read(TOKENS))
    except BlockingIOError:
        return False


class FaultyWork:
    """The work of handlers: it fails for the first requests, whichever thread they meet."""

    def __init__(self) -> None:
        self._fault = os.environ.get("FAULT", "")
        self._gate = os.environ.get("GATE", "")

    def on_a_thread(self) -> Steps[None]:
        """Waits at the gate as a handler with a thread of its own may."""
        if self._gate:
            os.close(os.open(self._gate, os.O_RDONLY))  # waits for whoever opens the other end
        self._fail()
        yield from ()

    def in_a_loop(self) -> Steps[None]:
        """Waits at the gate without holding the thread: as many looks as it takes."""
        if self._gate:
            # A FIFO that nobody writes to is at its end; once it is open there is just nothing yet.
            gate = os.open(self._gate, os.O_RDONLY | os.O_NONBLOCK)
            try:
                while is_at_its_end(gate):
                    yield Pause(time.monotonic_ns() + 5_000_000)
            finally:
                os.close(gate)
        self._fail()

    def _fail(self) -> None:
        if self._fault and is_to_fail():
            fail(self._fault)


def is_at_its_end(fd: int) -> bool:
    """Whether there is nobody left who could write to it."""
    try:
        return not os.read(fd, 1)
    except BlockingIOError:
        return False


class FatConnection(Connection):
    """Makes every answer too large for the buffers of the kernel."""

    def send(self, answer: bytes) -> Steps[None]:
        yield from super().send(answer + bytes(64 * 1024 * 1024))


def fattened(connection: Connection) -> Connection:
    """The connection; where FAT is in the environment, one with fat answers."""
    if not os.environ.get("FAT"):
        return connection
    return FatConnection(
        connection.sock, connection.address, connection.accepted_ns, connection.deadline_ns
    )


class _Faulty(Backend):
    def __init__(self, options: ServerOptions, path: RequestPath, telemetry: Telemetry) -> None:
        path._workload = Workload("faulty", 1)
        path._work = FaultyWork().on_a_thread  # type: ignore[method-assign]
        super().__init__(options, path, telemetry)

    def handle(self, connection: Connection) -> None:
        super().handle(fattened(connection))


class Pool(_Faulty, ThreadPoolBackend):
    """A pool whose handlers go wrong."""

    def dispatch(self, connection: Connection) -> None:
        stumble(connection, super().dispatch)


class Threads(_Faulty, ThreadPerRequest):
    """Thread per request, with handlers that go wrong."""

    def dispatch(self, connection: Connection) -> None:
        stumble(connection, super().dispatch)


class Forked(_Faulty, Prefork):
    """Processes with pools whose handlers go wrong."""

    def dispatch(self, connection: Connection) -> None:
        stumble(connection, super().dispatch)


class Loop(EventLoop):
    """An event loop whose handlers go wrong."""

    def __init__(self, options: ServerOptions, path: RequestPath, telemetry: Telemetry) -> None:
        path._workload = Workload("faulty", 1)
        path._work = FaultyWork().in_a_loop  # type: ignore[method-assign]
        super().__init__(options, path, telemetry)

    def dispatch(self, connection: Connection) -> None:
        stumble(connection, lambda connection: EventLoop.dispatch(self, fattened(connection)))


def stumble(connection: Connection, dispatch: Callable[[Connection], None]) -> None:
    """Dispatch as DISPATCH in the environment says, for the first FAULTS connections."""
    fault = os.environ.get("DISPATCH", "")
    if not fault or not is_to_fail():
        dispatch(connection)
        return
    if fault == "late":
        dispatch(connection)
    if fault == "exit":
        raise SystemExit(3)
    if fault == "own counter":
        raise Overloaded('all of them are "out"', 'out\\"\n')
    if fault == "no counter":
        raise Overloaded("there is none", None)  # type: ignore[arg-type]
    raise KeyError(WHAT_A_CLIENT_SENT)
