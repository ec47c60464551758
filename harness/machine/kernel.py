"""The kernel's ledger: counters that put a slow or lost connection down to its cause.

Read from /proc/net, so they are of the whole network namespace, not of one server; other
traffic on the machine shows up in them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core.record import Kernel


@dataclass(frozen=True, slots=True)
class KernelCounters:
    """Totals since boot; None where the kernel does not say."""

    listen_overflows: int | None
    listen_drops: int | None
    retransmits: int | None


def read_kernel(proc: Path = Path("/proc")) -> KernelCounters:
    """The counters now: TcpExt ListenOverflows and ListenDrops, Tcp RetransSegs."""
    extended = _table(proc / "net/netstat", "TcpExt")
    plain = _table(proc / "net/snmp", "Tcp")
    return KernelCounters(
        extended.get("ListenOverflows"), extended.get("ListenDrops"), plain.get("RetransSegs")
    )


def _table(path: Path, name: str) -> dict[str, int]:
    """One of the tables that are two lines, names and values, each behind `name:`."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    found = [line.split()[1:] for line in lines if line.startswith(f"{name}:")]
    return dict(zip(found[0], map(int, found[1]), strict=True)) if len(found) == 2 else {}


def time_wait_sockets(proc: Path = Path("/proc")) -> int | None:
    """How many sockets are in TIME_WAIT now."""
    try:
        words = (proc / "net/sockstat").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(words[words.index("tw") + 1]) if "tw" in words else None


def deltas(before: KernelCounters, after: KernelCounters, time_wait_peak: int | None) -> Kernel:
    """The counters' differences between two readings."""

    def difference(old: int | None, new: int | None) -> int | None:
        return None if old is None or new is None else new - old

    return Kernel(
        listen_overflows=difference(before.listen_overflows, after.listen_overflows),
        listen_drops=difference(before.listen_drops, after.listen_drops),
        retransmits=difference(before.retransmits, after.retransmits),
        time_wait_peak=time_wait_peak,
    )
