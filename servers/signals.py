"""The signals that end a server, heard at once whatever its main thread waits for.

Python runs a signal's handler on the main thread, once that thread is at its next instruction. One
that comes as the thread is about to wait, for a lock or for a descriptor, is seen only after that
wait. What `hear_stops` returns is readable at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, NoReturn

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_READ_BYTES = 64


class Heard(NamedTuple):
    """A pipe of this process: its read end has a byte, the number, for each signal that came and
    has a handler of Python's."""

    read_end: int
    write_end: int

    def stops(self) -> list[int]:
        """The signals that end a server and have come since the last call, by their numbers; for
        whoever watches the read end."""
        return [n for n in os.read(self.read_end, _READ_BYTES) if n in STOP_SIGNALS]

    def close(self) -> None:
        """In a process that was forked, where it is a copy."""
        os.close(self.read_end)
        os.close(self.write_end)


def hear_stops(handler: Callable[[int, FrameType | None], object]) -> Heard:
    """From now on a signal that ends a server is heard, and `handler` is called on the main thread
    as soon as that can. To be called there; takes the place of an earlier one."""
    heard = Heard(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
    signal.set_wakeup_fd(heard.write_end, warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, handler)
    return heard


def stop_at_once() -> NoReturn:
    """What a second signal asks for."""
    os.write(2, b"a second signal: stopped at once, with whatever was in progress\n")
    os._exit(1)
