"""A server's output: a file that stays small however much is printed, and its last line."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from harness.core.text import visible

_TAIL_BYTES = 65_536
_BLOCK = 512  # bytes, of st_blocks
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # fallocate(2)
_LINE_CHARACTERS = 300


class BoundedLog:
    """A file that a server appends to. When it takes more than `most_bytes` of the disk, its middle
    is left out: the first quarter stays, and what came last."""

    def __init__(self, path: bytes, most_bytes: int) -> None:
        """Open it. Raises OSError."""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._most_bytes = most_bytes
        self._head_bytes = most_bytes // 4
        self._left_out = 0

    def bound(self) -> None:
        """Give the room of the middle back, if there is too much, while the server goes on
        writing: as a hole in the file, so that nothing of its end is ever lost."""
        found = os.fstat(self.fd)
        if found.st_blocks * _BLOCK > self._most_bytes and found.st_size > self._most_bytes:
            length = found.st_size - self._tail_bytes() - self._head_bytes
            if not _punch(self.fd, self._head_bytes, length):
                self._shorten(found.st_size)  # a file system without holes: some lines are lost

    def finish(self) -> None:
        """When the server has ended: without a hole, and a line that says how much is missing."""
        size = os.fstat(self.fd).st_size
        if size > self._most_bytes:
            self._shorten(size)

    def _shorten(self, size: int) -> None:
        kept = self._tail_bytes()
        tail = os.pread(self.fd, kept, size - kept)
        self._left_out += size - kept - self._head_bytes
        os.ftruncate(self.fd, self._head_bytes)
        note = f"\n[labrun: {self._left_out:,} bytes left out here]\n"
        os.write(self.fd, note.encode("ascii") + tail)

    def _tail_bytes(self) -> int:
        return min(_TAIL_BYTES, self._most_bytes // 4)


def _punch(fd: int, start: int, length: int) -> bool:
    """Make a hole in a file, which keeps its size; whether its file system can."""
    libc = ctypes.CDLL(None, use_errno=True)
    offset = ctypes.c_int64  # off_t of 64-bit Linux
    return bool(libc.fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset(start), offset(length)) == 0)


def last_line(path: Path) -> str:
    """The last line of a log that is not empty, with nothing in it that moves a terminal, cut to
    300 characters; empty where there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    found = next((line.strip() for line in reversed(lines) if line.strip()), "")
    shown = visible(found, keep="")
    return shown if len(shown) <= _LINE_CHARACTERS else shown[: _LINE_CHARACTERS - 3] + "..."
