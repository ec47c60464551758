"""Who else measures on this machine: two runs at once spoil each other.

Each run binds a socket with an abstract name, which says who it is. The kernel lists such names for
everybody, whoever the user is, and takes one away with its process, so that none can be stale.
Runs in other network namespaces (containers) are not seen.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.core.text import visible

# Tests that measure in parallel on purpose are each in a neighbourhood of their own.
_PREFIX = f"metricstream-lab{os.environ.get('LAB_NEIGHBOURHOOD', '')} "
_LONGEST = 107  # bytes of a name, as the kernel has it, without the zero that it begins with
_OWN: set[int] = set()  # inodes of this process's sockets


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another run: its process, when it began (Unix seconds), and what was typed, cut short."""

    pid: int
    since_s: int
    command: str

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_s, UTC)
        return f"{self.command} (pid {self.pid}, since {since:%Y-%m-%d %H:%M:%S} UTC)"


@contextmanager
def announced(command: str) -> Iterator[None]:
    """Within, `neighbours` of other processes see this one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        told = f"{_PREFIX}{os.getpid()} {time.time_ns()} {visible(command, keep='')}"
        name = told.encode("ascii", "backslashreplace")
        own.bind(b"\0" + (name if len(name) <= _LONGEST else name[: _LONGEST - 3] + b"..."))
        inode = os.fstat(own.fileno()).st_ino
        _OWN.add(inode)
        try:
            yield
        finally:
            _OWN.discard(inode)


def neighbours() -> list[Neighbour]:
    """The other runs that measure now, the oldest first."""
    try:
        lines = Path("/proc/net/unix").read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    found = [one for line in lines if (one := _of(line)) is not None]
    return sorted(found, key=lambda one: (one.since_s, one.pid))


class Neighbourhood:
    """All the runs that were seen beside one run, whenever each came or went."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], Neighbour] = {}

    def look(self) -> None:
        """See who is there now."""
        self._seen |= {(one.pid, one.since_s): one for one in neighbours()}

    def warnings(self) -> list[str]:
        """A sentence for each."""
        return [
            f"another run measured on this machine at the same time: {one}; each takes CPU from "
            "the other, so make both again, one after the other"
            for one in self._seen.values()
        ]


def _of(line: str) -> Neighbour | None:
    """Of one line: seven fields and the name, whose first byte, a zero, is shown as an at sign."""
    *_, inode, name = [*line.split(maxsplit=7), "", ""][:8]
    if not name.startswith(f"@{_PREFIX}") or int(inode) in _OWN:
        return None
    pid, since_ns, command = [*name.removeprefix(f"@{_PREFIX}").split(" ", 2), "", ""][:3]
    if not (pid.isdigit() and since_ns.isdigit()):  # anybody may take such a name
        return None
    return Neighbour(int(pid), min(int(since_ns) // 10**9, 2**37), visible(command, keep=""))
