"""Backends that go wrong on purpose, named as `faulty:Pool` and `faulty:Threads`.

`FAULT` in the environment says how the handlers of the first `FAULTS` requests go wrong, and
`DISPATCH` likewise for the acceptor. At a `GATE`, a FIFO, handlers wait until it is opened.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable

from servers.backend import Backend, Overloaded
from servers.connection import Connection
from servers.options import ServerOptions
from servers.request_path import RequestPath
from servers.telemetry import Telemetry
from servers.thread_per_request import ThreadPerRequest
from servers.thread_pool import ThreadPoolBackend

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


def faulty_work() -> Callable[[], None]:
    """Work that fails for the first requests, whichever thread they meet."""
    fault, faults = os.environ.get("FAULT", ""), int(os.environ.get("FAULTS", "1"))
    gate = os.environ.get("GATE", "")
    numbers = itertools.count()

    def work() -> None:
        if gate:
            os.close(os.open(gate, os.O_RDONLY))  # waits for whoever opens the other end
        if fault and next(numbers) < faults:
            fail(fault)

    return work


class FatConnection(Connection):
    """Makes every answer too large for the buffers of the kernel."""

    def send(self, answer: bytes) -> None:
        super().send(answer + bytes(64 * 1024 * 1024))


class _Faulty(Backend):
    def __init__(self, options: ServerOptions, path: RequestPath, telemetry: Telemetry) -> None:
        path._work = faulty_work()
        super().__init__(options, path, telemetry)

    def handle(self, connection: Connection) -> None:
        if os.environ.get("FAT"):
            connection = FatConnection(
                connection.sock, connection.address, connection.accepted_ns, connection.deadline_ns
            )
        super().handle(connection)


class Pool(_Faulty, ThreadPoolBackend):
    """A pool whose handlers go wrong."""

    def dispatch(self, connection: Connection) -> None:
        stumble(connection, super().dispatch)


class Threads(_Faulty, ThreadPerRequest):
    """Thread per request, with handlers that go wrong."""

    def dispatch(self, connection: Connection) -> None:
        stumble(connection, super().dispatch)


DISPATCHED = itertools.count()


def stumble(connection: Connection, dispatch: Callable[[Connection], None]) -> None:
    """Dispatch as DISPATCH in the environment says, for the first FAULTS connections."""
    fault, faults = os.environ.get("DISPATCH", ""), int(os.environ.get("FAULTS", "1"))
    if not fault or next(DISPATCHED) >= faults:
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
