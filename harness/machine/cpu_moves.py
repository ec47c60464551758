"""How often the threads of a process move to another CPU, ended threads included.

The kernel's own counter (perf_event_open(2), PERF_COUNT_SW_CPU_MIGRATIONS), one on each thread
and inherited by every thread that it starts, so that a thread that lived for a moment is counted
too: `/proc/PID/task/*/sched` has the same number, but forgets a thread as soon as it ends.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from harness.core.closing import Closing

_SYSCALL = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_TYPE_SOFTWARE, _CPU_MIGRATIONS = 1, 4
_INHERIT = 1 << 1
_ATTR_BYTES = 128
_CLOSE_ON_EXEC = 8


class CannotCount(Exception):
    """Why moves between CPUs cannot be counted here: a sentence without its full stop."""


class MoveCounter(Closing):
    """Counts from its making to `read`; to be closed (it is a context)."""

    def __init__(self, pid: int) -> None:
        """Raises `CannotCount`."""
        self._counters: list[int] = []
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                self._counters.append(_open_counter(int(thread)))
        except (FileNotFoundError, ProcessLookupError) as error:
            self.close()
            raise CannotCount("the process whose moves were to be counted is gone") from error
        except OSError as error:
            self.close()
            raise CannotCount(
                f"the kernel does not let this user count moves between CPUs ({error.strerror}); "
                "run as root or lower kernel.perf_event_paranoid"
            ) from error

    def read(self) -> int:
        """Moves so far, of all threads."""
        return sum(struct.unpack("=Q", os.read(fd, 8))[0] for fd in self._counters)

    def close(self) -> None:
        """Give the counters back."""
        for fd in self._counters:
            os.close(fd)
        self._counters = []


def _open_counter(thread: int) -> int:
    """A counter on one thread and those that it starts. Raises OSError."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise CannotCount(f"counting moves between CPUs is not known for {platform.machine()}")
    # struct perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags
    head = struct.pack("=IIQQQQQ", _TYPE_SOFTWARE, _ATTR_BYTES, _CPU_MIGRATIONS, 0, 0, 0, _INHERIT)
    attributes = ctypes.create_string_buffer(head, _ATTR_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(number, attributes, thread, -1, -1, _CLOSE_ON_EXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd
