"""What a server prints: a file that stays small however much it is, and its last line."""

from __future__ import annotations

import os
from pathlib import Path

from harness.core.text import visible

_TAIL_BYTES = 65_536
_LINE_CHARACTERS = 300


class BoundedLog:
    """A file that a server appends to. When it is longer than `most_bytes`, its middle is left
    out: the first quarter stays, a line says how much is missing, and what came last follows."""

    def __init__(self, path: str, most_bytes: int) -> None:
        """Open it. Raises OSError."""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._most_bytes = most_bytes
        self._left_out = 0

    def bound(self) -> None:
        """Leave the middle out, if there is too much. The server goes on writing meanwhile: a line
        of that moment may be lost or cut."""
        size = os.fstat(self.fd).st_size
        if size <= self._most_bytes:
            return
        head, kept = self._most_bytes // 4, min(_TAIL_BYTES, self._most_bytes // 4)
        tail = os.pread(self.fd, kept, size - kept)
        self._left_out += size - kept - head
        os.ftruncate(self.fd, head)
        note = f"\n[labrun: {self._left_out:,} bytes left out here]\n"
        os.write(self.fd, note.encode("ascii") + tail)


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
