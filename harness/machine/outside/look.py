"""Types of looks at a server from outside, and of what keeper and lab say to each other."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

SwitchesBy: TypeAlias = Literal["counter", "records"]


class Missing(msgspec.Struct, frozen=True):
    """Why a figure is None, and what would mend it; sentences without their full stop."""

    reason: str
    remedy: str | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree of processes at one moment. Counts are totals since the start, so that what
    happened in between is the difference of two looks. None: `missing` says why, by field.

    `t_ns` is CLOCK_MONOTONIC. `processes` and `threads` are those alive. `cpu_ns` has what ended
    threads and processes used, `switches` (context switches, voluntary or not) what they had.
    `births` and `ends` are of threads, without the main thread of a process; processes are counted
    apart, the command itself not as a birth. `rss_bytes` counts a page that processes share once
    for each of them, `pss_bytes` once in all. `peak_bytes` adds up the highest resident memory that
    each process has had since the start or `clear_peak`. `pss_bytes` and `peak_bytes` are looked at
    only if asked for. `switches_by`: the kernel's counter, or its record of each switch; figures of
    the two are not to be compared.
    """

    t_ns: int
    processes: int
    threads: int
    cpu_ns: int | None = None
    switches: int | None = None
    births: int | None = None
    ends: int | None = None
    processes_born: int | None = None
    processes_ended: int | None = None
    rss_bytes: int | None = None
    pss_bytes: int | None = None
    peak_bytes: int | None = None
    switches_by: SwitchesBy | None = None
    missing: dict[str, Missing] = {}


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a tree. `exit_status` is the command's own, negative for a signal; `killed`: how
    many processes had to be ended by SIGKILL; `left`: how many could not be ended, since they are
    another user's. `cpu_ns` and `switches` are what wait4(2) said of all processes that the keeper
    reaped, with the children that those had reaped: the whole life, start included."""

    exit_status: int | None
    killed: int
    left: int
    cpu_ns: int
    switches: int


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The server that the keeper is to start. `argv` and `env` as exec takes them, bytes that need
    be no text; `cpus`: where the server may run, empty for anywhere; `keeper_cpus` likewise of the
    keeper; `log_bytes`: about how long the log may become; `ended_fd`: closed when no process of
    the tree is left."""

    argv: list[bytes]
    env: list[tuple[bytes, bytes]]
    cwd: bytes | None
    log_path: bytes
    log_bytes: int
    cpus: list[int]
    keeper_cpus: list[int]
    count_events: bool
    ended_fd: int


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The keeper's first line: the process of the command; or what could not be done and why."""

    pid: int | None = None
    failed: str | None = None
    error: str | None = None


class Status(msgspec.Struct, frozen=True):
    """How the command itself ended, negative for a signal; None: it has not."""

    exit_status: int | None
