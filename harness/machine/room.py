"""How much memory and how many descriptors there are for processes that are alive together."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Room:
    """`descriptors`: how many a process may open; `available_bytes`: memory that may be taken
    without paging."""

    descriptors: int
    available_bytes: int


def read_room() -> Room:
    """The memory that is available now, and how many descriptors are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Room(hard, available_bytes())


def available_bytes() -> int:
    """Memory that the machine has left, or this control group (version 2) where that is less."""
    left = [psutil.virtual_memory().available]
    for group in _groups():
        most, used = _number(group / "memory.max"), _number(group / "memory.current")
        if most is not None and used is not None:
            left.append(max(0, most - used + _cached(group)))
    return min(left)


def _groups() -> list[Path]:
    """The control group of this process and those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    mine = [line.partition("::")[2] for line in lines if line.startswith("0::")]
    if not mine:
        return []
    group = _GROUPS / mine[0].lstrip("/")
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(_GROUPS)]


def _cached(group: Path) -> int:
    """Of what a group uses, pages of files that are given back before anything is paged out."""
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    counts = dict(line.split(maxsplit=1) for line in lines if " " in line)
    return int(counts.get("inactive_file", 0))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
