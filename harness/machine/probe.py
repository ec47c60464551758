"""A probe of this machine: load, steal, timer lateness, limits, read or timed; and how much memory
and how many descriptors there are for processes that are alive together."""

from __future__ import annotations

import os
import resource
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.machine.cpus import CpuPlan
from harness.machine.kernel import time_wait_sockets

_GROUPS = Path("/sys/fs/cgroup")
LOOK_S = 0.3
_WAITS = 40
_WAIT_S = 0.001
_READINGS = 20_000


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
        most, used = _limit(group / "memory.max"), _limit(group / "memory.current")
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


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


@dataclass(frozen=True, slots=True)
class Probe:
    """The probe's readings of a third of a second; None where the machine does not say.

    `busy_cpus` is how many CPUs others kept busy meanwhile, `busiest` who did; `stolen` the share
    of time that the host took. `wait_late_us` is how late a wait of 1 ms ended, the median and
    the worst of 40; `clock_read_ns` what reading the clock costs.
    """

    busy_cpus: float
    busiest: str | None
    stolen: float | None
    can_pin: bool
    cpu_quota: float | None
    time_wait: int | None
    most_time_wait: int | None
    available_bytes: int
    wait_late_us: tuple[float, float]
    clock_read_ns: float
    debug_build: bool
    optimised_build: bool | None


def probe(cpus: CpuPlan) -> Probe:
    """Look at the machine for a third of a second, in which this process does nothing else."""
    busy_cpus, busiest, stolen = _others()
    return Probe(
        busy_cpus=busy_cpus,
        busiest=busiest,
        stolen=stolen,
        can_pin=_can_pin(),
        cpu_quota=_cpu_quota(),
        time_wait=time_wait_sockets(),
        most_time_wait=_number("/proc/sys/net/ipv4/tcp_max_tw_buckets"),
        available_bytes=available_bytes(),
        wait_late_us=_wait_lateness(cpus),
        clock_read_ns=_clock_read_ns(),
        debug_build=bool(sysconfig.get_config_var("Py_DEBUG")),
        optimised_build=_optimised(),
    )


def _others() -> tuple[float, str | None, float | None]:
    """CPUs kept busy in a look of 0.3 s, who was busiest, and the share stolen by the host.

    This process sleeps meanwhile, so that all of it is others'.
    """
    before = _cpu_seconds()
    was = psutil.cpu_times()
    began_s = time.monotonic()
    time.sleep(LOOK_S)
    took_s = time.monotonic() - began_s
    now = psutil.cpu_times()
    idle = (now.idle - was.idle) + (getattr(now, "iowait", 0.0) - getattr(was, "iowait", 0.0))
    stolen = getattr(now, "steal", 0.0) - getattr(was, "steal", 0.0)
    total = sum(now[:8]) - sum(was[:8])
    used = {
        name: seconds - before[pid][1]
        for pid, (name, seconds) in _cpu_seconds().items()
        if pid in before and pid != os.getpid()
    }
    busiest = max(used, key=lambda name: used[name], default=None)
    if busiest is not None and used[busiest] <= 0:
        busiest = None
    if total <= 0:
        return 0.0, busiest, None
    return max(0.0, (total - idle) / took_s), busiest, max(0.0, stolen / total)


def _cpu_seconds() -> dict[int, tuple[str, float]]:
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None:
            found[process.pid] = (process.info["name"], times.user + times.system)
    return found


def _can_pin() -> bool:
    try:
        os.sched_setaffinity(0, os.sched_getaffinity(0))
    except OSError:
        return False
    return True


def _cpu_quota() -> float | None:
    """CPUs that this control group (version 2) may use; None: as many as there are."""
    group = (_text("/proc/self/cgroup") or "").rpartition("::")[2].lstrip("/")
    for folder in (Path("/sys/fs/cgroup") / group, *(Path("/sys/fs/cgroup") / group).parents):
        words = (_text(str(folder / "cpu.max")) or "").split()
        if len(words) == 2 and words[0] != "max":
            return int(words[0]) / int(words[1])
    return None


def _wait_lateness(cpus: CpuPlan) -> tuple[float, float]:
    """How late waits of 1 ms end on the generator's CPU, in microseconds: median and worst."""
    before = os.sched_getaffinity(0)
    late_us = []
    try:
        if cpus.pinned and _can_pin():
            os.sched_setaffinity(0, cpus.generator)
        for _ in range(_WAITS):
            began_ns = time.monotonic_ns()
            time.sleep(_WAIT_S)
            late_us.append((time.monotonic_ns() - began_ns) / 1e3 - _WAIT_S * 1e6)
    finally:
        if cpus.pinned and _can_pin():
            os.sched_setaffinity(0, before)
    late_us.sort()
    return late_us[len(late_us) // 2], late_us[-1]


def _clock_read_ns() -> float:
    began_ns = time.perf_counter_ns()
    for _ in range(_READINGS):
        time.monotonic_ns()
    return (time.perf_counter_ns() - began_ns) / _READINGS


def _optimised() -> bool | None:
    """Whether this Python was built with optimisation; None where it does not say."""
    flags = sysconfig.get_config_var("OPT") or sysconfig.get_config_var("CFLAGS")
    if not isinstance(flags, str) or not flags:
        return None
    return not any(flag == "-O0" for flag in flags.split())


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: str) -> int | None:
    text = _text(path)
    return None if text is None else int(text.split()[0])
