"""Everything about this machine that could explain a figure."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from harness.core.record import Environment
from harness.machine.cpus import CpuPlan
from servers.report import gil_is_enabled

_PACKAGES = (
    "metricstream-lab",
    "httptools",
    "msgspec",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "matplotlib",
    "psutil",
    "locust",
    "gevent",
)


def read_environment(cpus: CpuPlan) -> Environment:
    """The environment now; None for what this machine does not say."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    commit, dirty = _git_state()
    return Environment(
        cpu_model=_cpu_model(),
        cpu_count=len(os.sched_getaffinity(0)),
        server_cpus=sorted(cpus.server) if cpus.placed else None,
        generator_cpus=sorted(cpus.generator) if cpus.placed else None,
        governor=_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        kernel=platform.release(),
        virtualisation=_virtualisation(),
        python_version=platform.python_version(),
        python_build=" ".join(platform.python_build()) + ", " + platform.python_compiler(),
        gil_enabled=gil_is_enabled(),
        switch_interval_s=sys.getswitchinterval(),
        packages=_package_versions(),
        somaxconn=_number("/proc/sys/net/core/somaxconn"),
        tcp_tw_reuse=_number("/proc/sys/net/ipv4/tcp_tw_reuse"),
        tcp_max_syn_backlog=_number("/proc/sys/net/ipv4/tcp_max_syn_backlog"),
        port_range=_numbers("/proc/sys/net/ipv4/ip_local_port_range"),
        nofile_soft=soft,
        nofile_hard=hard,
        malloc_arena_max=os.environ.get("MALLOC_ARENA_MAX"),
        timer_slack_ns=_number("/proc/self/timerslack_ns"),
        clock_source=_text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        load_average_at_start=[round(load, 2) for load in os.getloadavg()],
        git_commit=commit,
        git_dirty=dirty,
    )


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _numbers(path: str) -> list[int] | None:
    text = _text(path)
    return None if text is None else [int(word) for word in text.split()]


def _number(path: str) -> int | None:
    found = _numbers(path)
    return found[0] if found else None


def _cpu_model() -> str | None:
    text = _text("/proc/cpuinfo") or ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return models[0] if models else platform.machine() or None


def _virtualisation() -> str | None:
    flags = _text("/proc/cpuinfo") or ""
    if " hypervisor" not in flags:
        return None
    return _text("/sys/class/dmi/id/product_name") or "a hypervisor"


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, timeout=5, check=True).stdout


def _git_state() -> tuple[str | None, bool | None]:
    """Commit and dirtiness of the checkout in the current folder, if it is one of this project."""
    if not (Path.cwd() / "servers" / "thread_pool.py").exists():
        return None, None
    try:
        commit = _git("rev-parse", "HEAD").decode("ascii").strip()
        status = _git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(status.strip())
