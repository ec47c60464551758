"""CPUs: who runs on which, how much of them a process has used, and how often its threads move to
another.

Moves are of ended threads too. The kernel's own counter (perf_event_open(2),
PERF_COUNT_SW_CPU_MIGRATIONS) is on each thread and inherited by every thread that it starts, so
that a thread that lived for a moment is counted: `/proc/PID/task/*/sched` has the same number, but
forgets a thread as soon as it ends.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.core.closing import Closing
from harness.core.record import Settings
from servers.options import parse_cpus

MOST_GENERATORS = 64  # processes that send
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SYSCALL = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_TYPE_SOFTWARE, _CPU_MIGRATIONS = 1, 4
_INHERIT = 1 << 1
_ATTR_BYTES = 128
_CLOSE_ON_EXEC = 8


@dataclass(frozen=True, slots=True)
class CpuPlan:
    """Disjoint CPUs for server and generator, where there are two or more.

    Observers (the lab itself and its sampler) stay off the generator's CPU, because what delays
    the generator spoils every latency; with two CPUs they share the server's, alike for both
    backends. With one CPU nothing is pinned and the generator must not spin. `asked`: somebody said
    which, so they are kept even where they overlap.
    """

    server: frozenset[int]
    generator: frozenset[int]
    observers: frozenset[int]
    asked: bool = False

    @property
    def pinned(self) -> bool:
        """Whether the generator has a CPU of its own."""
        return not self.server & self.generator

    @property
    def placed(self) -> bool:
        """Whether each is kept on its CPUs."""
        return self.asked or self.pinned


def plan_cpus(available: frozenset[int] | None = None, generators: int = 1) -> CpuPlan:
    """A plan for the CPUs that this process may use, with one for each of `generators` where two
    are left for servers and observers."""
    cpus = sorted(os.sched_getaffinity(0) if available is None else available)
    everyone = frozenset(cpus)
    if len(cpus) == 1:
        return CpuPlan(everyone, everyone, everyone)
    if len(cpus) <= 3:
        rest = frozenset(cpus[:-1])
        return CpuPlan(rest, frozenset(cpus[-1:]), rest)
    own = generators if len(cpus) >= generators + 2 else 1
    return CpuPlan(
        frozenset(cpus[: -own - 1]), frozenset(cpus[-own:]), frozenset(cpus[-own - 1 : -own])
    )


def plan_of(settings: Settings) -> CpuPlan:
    """The plan of a run: as usual but for what it says itself. Who is not told of keeps off the
    CPUs that were asked for, where there are others."""
    usual = plan_cpus(generators=settings.generators)
    if settings.server_cpus is None and settings.generator_cpus is None:
        return usual
    everyone = frozenset(os.sched_getaffinity(0))
    server, generator = _told(settings.server_cpus), _told(settings.generator_cpus)
    if server is None:
        assert generator is not None
        server = (usual.server - generator) or (everyone - generator) or everyone
    if generator is None:
        generator = (usual.generator - server) or (everyone - server) or usual.generator
    observers = (everyone - generator - server) or (server - generator) or server
    return CpuPlan(server, generator, observers, asked=True)


def more_generators(settings: Settings) -> int | None:
    """Twice as many processes that send as the settings have, or fewer, as there are clients for
    them and CPUs for each: beside the server's, or those that were asked for. None where there
    cannot be even one more."""
    for many in range(2 * settings.generators, settings.generators, -1):
        plan = plan_of(msgspec.structs.replace(settings, generators=many))
        if many <= min(len(plan.generator), settings.clients, MOST_GENERATORS):
            return many
    return None


def _told(cpus: str | None) -> frozenset[int] | None:
    return None if cpus is None else parse_cpus(cpus)


def overlap_warning(cpus: CpuPlan) -> list[str]:
    """What is to be said where CPUs were asked for that server and generator share."""
    shared = cpus.server & cpus.generator
    if not cpus.asked or not shared:
        return []
    return [
        f"the server and the generator share {'CPU' if len(shared) == 1 else 'CPUs'} "
        f"{cpu_list(shared)}: each takes time from the other, so ratios between arms may hold and "
        "times do not"
    ]


def cpu_list(cpus: frozenset[int]) -> str:
    """`0,2,3`."""
    return ",".join(map(str, sorted(cpus)))


def process_cpu_s(pid: int) -> float | None:
    """CPU seconds of all threads of a process since its start, ended ones included; None where it
    is gone or is not ours to look at. The clock's number is the kernel's `~pid << 3 | 2`, as
    clock_getcpuclockid(3) makes it."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return None


def steal_s(proc: Path = Path("/proc")) -> float | None:
    """CPU seconds that the hypervisor has taken from this machine since its start, in steps of a
    hundredth; None where the kernel does not say."""
    try:
        words = (proc / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return int(words[8]) * _TICK_S
    except (OSError, ValueError, IndexError):
        return None


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
