"""Checks this machine for things that would spoil a measurement, and says how to mend each.

The limits are those of a run at a target rate: what is enough for 500 RPS may not be for 10,000.
Pure: `harness.machine.probe` looks at the machine.
"""

from __future__ import annotations

from typing import Literal

from harness.core.record import Environment, Finding
from harness.machine.cpus import CpuPlan
from harness.machine.probe import Probe

# A port rests this long in TIME_WAIT (the kernel's TCP_TIMEWAIT_LEN); clients have loopback
# addresses of their own, so that each has the whole range of ports.
TIME_WAIT_S = 60
_MIB = 1 << 20


def examine(
    environment: Environment,
    probe: Probe,
    cpus: CpuPlan,
    rps: float,
    clients: int,
    timeout_s: float,
) -> list[Finding]:
    """Every check, for a run at `rps` in which `clients` give up after `timeout_s`."""
    return [
        _cpu_count(environment, cpus),
        _pinning(probe, cpus),
        _quota(environment, probe),
        _governor(environment),
        _load(probe),
        _virtualisation(environment, probe),
        _descriptors(environment, rps, timeout_s),
        _backlog(environment),
        _ports(environment, rps, clients),
        _time_waits(probe, rps),
        _timer(environment, probe),
        _clock(environment, probe),
        _memory(probe),
        _switch_interval(environment),
        _python(environment, probe),
    ]


def is_sound(findings: list[Finding]) -> bool:
    """Whether nothing found would spoil a run."""
    return all(finding.level != "spoils" for finding in findings)


def warning(finding: Finding) -> str:
    """A finding as one sentence: what is wrong and how to mend it."""
    return f"{finding.check}: {finding.found}" + (f"; {finding.mend}" if finding.mend else "")


def _good(check: str, found: str) -> Finding:
    return Finding(check=check, level="good", found=found, mend=None)


def _bad(check: str, level: Literal["doubtful", "spoils"], found: str, mend: str) -> Finding:
    return Finding(check=check, level=level, found=found, mend=mend)


def _cpu_count(environment: Environment, cpus: CpuPlan) -> Finding:
    count = environment.cpu_count
    if count == 1:
        return _bad(
            "CPUs", "spoils", "server and generator share the only one, each slows the other down",
            "use a machine, or a taskset, with two or more",
        )  # fmt: skip
    if cpus.observers & cpus.server:
        return _good(
            "CPUs", f"{count}: one for the generator; the observers share the server's, alike for "
            "both backends",
        )  # fmt: skip
    return _good("CPUs", f"{count}: generator and observers have one each, the server the rest")


def _pinning(probe: Probe, cpus: CpuPlan) -> Finding:
    if probe.can_pin:
        where = f"server on {_list(cpus.server)}, generator on {_list(cpus.generator)}"
        return _good("pinning", where if cpus.pinned else "allowed; with one CPU there is no use")
    return _bad(
        "pinning", "spoils", "processes may not be kept on CPUs of their own (sched_setaffinity)",
        "allow that system call in the container's profile",
    )  # fmt: skip


def _quota(environment: Environment, probe: Probe) -> Finding:
    if probe.cpu_quota is None or probe.cpu_quota >= environment.cpu_count:
        return _good("CPU quota", "none")
    return _bad(
        "CPU quota", "spoils",
        f"this control group gets {probe.cpu_quota:g} of {environment.cpu_count} CPUs and is "
        "stopped for the rest of each period", "lift the limit (cpu.max)",
    )  # fmt: skip


def _governor(environment: Environment) -> Finding:
    governor = environment.governor
    if governor is None:
        return _good("governor", "not told here (usual in a virtual machine)")
    if governor == "performance":
        return _good("governor", governor)
    return _bad(
        "governor", "doubtful", f"{governor}, so the clock rate follows the load that is measured",
        "cpupower frequency-set -g performance",
    )  # fmt: skip


def _load(probe: Probe) -> Finding:
    found = f"others keep {probe.busy_cpus:.2f} CPUs busy"
    if probe.busy_cpus < 0.1:
        return _good("load", found)
    who = f" (most: {probe.busiest})" if probe.busiest else ""
    level: Literal["doubtful", "spoils"] = "spoils" if probe.busy_cpus >= 0.5 else "doubtful"
    return _bad("load", level, found + who, "stop them, or take more rounds")


def _virtualisation(environment: Environment, probe: Probe) -> Finding:
    kind = environment.virtualisation
    stolen = "" if probe.stolen is None else f", {probe.stolen:.1%} of the time taken by the host"
    found = "none seen" if kind is None else f"a guest ({kind}){stolen}"
    if probe.stolen is None or probe.stolen < 0.01:
        return _good("virtualisation", found)
    return _bad("virtualisation", "doubtful", found, "use a dedicated machine, or take more rounds")


def _descriptors(environment: Environment, rps: float, timeout_s: float) -> Finding:
    # A server that answers nothing leaves a request open until its client gives up.
    need, have = int(rps * timeout_s) + 240, environment.nofile_hard
    found = f"{have:,} allowed, {need:,} needed when nothing is answered"
    if have >= need:
        return _good("descriptors", found)
    return _bad(
        "descriptors", "spoils", found,
        f"raise the hard limit (ulimit -Hn {need}, or LimitNOFILE)",
    )  # fmt: skip


def _backlog(environment: Environment) -> Finding:
    most = environment.somaxconn
    if most is None:
        return _good("somaxconn", "not told here")
    if most >= 4096:
        return _good("somaxconn", f"{most:,}")
    return _bad(
        "somaxconn", "doubtful", f"{most:,} caps the backlog, so bursts may overflow it",
        "sysctl -w net.core.somaxconn=4096",
    )  # fmt: skip


def _ports(environment: Environment, rps: float, clients: int) -> Finding:
    if environment.port_range is None:
        return _good("port range", "not told here")
    low, high = environment.port_range
    have, need = (high - low + 1) * clients, int(rps * TIME_WAIT_S)
    found = f"{low} to {high} for each of {clients:,} client addresses"
    if have >= need:
        return _good("port range", found)
    return _bad(
        "port range", "spoils",
        f"{found}; {rps:,.0f} RPS keep {need:,} in TIME_WAIT, and there are {have:,}",
        "sysctl -w net.ipv4.ip_local_port_range='1024 65535', or more --clients",
    )  # fmt: skip


def _time_waits(probe: Probe, rps: float) -> Finding:
    now, most = probe.time_wait, probe.most_time_wait
    if now is None:
        return _good("TIME_WAIT", "not told here")
    if most is None:
        return _good("TIME_WAIT", f"{now:,} sockets now")
    found = f"{now:,} sockets now, {most:,} allowed"
    # Beyond the limit the kernel drops the state at once, which costs a log line and nothing else
    # that a trial sees; a table that is nearly full before the start was filled by others.
    if now < most / 2 or now < rps:
        return _good("TIME_WAIT", found)
    return _bad("TIME_WAIT", "doubtful", found, "wait a minute: an earlier load still rests there")


def _timer(environment: Environment, probe: Probe) -> Finding:
    middle, worst = probe.wait_late_us
    slack = environment.timer_slack_ns
    told = "" if slack is None else f" (slack {slack / 1e3:g} us)"
    found = f"a wait of 1 ms ends {middle:.0f} us late, at worst {worst:,.0f} us{told}"
    if middle <= 500:
        return _good("timer", found)
    return _bad(
        "timer", "spoils" if middle > 1000 else "doubtful", found,
        "look for a kernel without high-resolution timers, or a busy host",
    )  # fmt: skip


def _clock(environment: Environment, probe: Probe) -> Finding:
    found = f"{environment.clock_source or 'not told'}, {probe.clock_read_ns:.0f} ns a reading"
    if probe.clock_read_ns < 1000:
        return _good("clock source", found)
    return _bad(
        "clock source", "doubtful", f"{found}: several readings are taken of each request",
        "boot with clocksource=tsc where the CPU's counter is steady",
    )  # fmt: skip


def _memory(probe: Probe) -> Finding:
    found = f"{probe.available_bytes / _MIB:,.0f} MiB available"
    if probe.available_bytes >= 1024 * _MIB:
        return _good("memory", found)
    level: Literal["doubtful", "spoils"] = "doubtful"
    if probe.available_bytes < 384 * _MIB:
        level = "spoils"
    return _bad("memory", level, found, "free some: a run may take 1 GiB, and paging stops servers")


def _switch_interval(environment: Environment) -> Finding:
    found = f"{environment.switch_interval_s * 1e3:g} ms"
    if environment.switch_interval_s == 0.005:
        return _good("switch interval", found)
    return _bad(
        "switch interval", "doubtful", f"{found} instead of Python's 5 ms",
        "leave it, and use --switch-interval to vary the server's",
    )  # fmt: skip


def _python(environment: Environment, probe: Probe) -> Finding:
    gil = "with the GIL" if environment.gil_enabled else "without the GIL"
    found = f"{environment.python_version}, {gil}"
    if probe.debug_build:
        return _bad(
            "Python build", "spoils", f"{found}, a debug build, several times as slow",
            "use a release build",
        )  # fmt: skip
    if probe.optimised_build is False:
        return _bad(
            "Python build", "doubtful", f"{found}, built without optimisation",
            "use a build with --enable-optimizations, as distributions ship it",
        )  # fmt: skip
    return _good("Python build", found)


def _list(cpus: frozenset[int]) -> str:
    return "CPU " + ",".join(map(str, sorted(cpus)))
