"""The quantities of a server by command that this machine lets the lab observe."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import LabError
from harness.machine.child_process import ProcessDied
from harness.machine.outside.look import Look, Missing
from harness.machine.outside.observed import start_command

_QUANTITIES = {
    "CPU time": ("cpu_ns",),
    "context switches": ("switches",),
    "threads born and ended": ("births", "ends"),
    "resident memory": ("rss_bytes",),
    "memory with shared pages counted once": ("pss_bytes",),
    "peak memory": ("peak_bytes",),
}


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a quantity can be observed; if not, why, and what would mend it where anything
    would."""

    quantity: str
    permitted: bool
    reason: str | None
    remedy: str | None


def permissions() -> list[Permission]:
    """Quantities that a look at a real process sees, or misses. Raises `LabError` where not even
    that can be started."""
    with tempfile.TemporaryDirectory(prefix="labrun-") as folder:
        here = frozenset(os.sched_getaffinity(0))
        log = Path(folder) / "log"
        try:
            with start_command(["sleep", "60"], os.environ, None, log, here) as server:
                peak = server.clear_peak()
                look = server.look(memory=True)
        except ProcessDied as error:
            raise LabError(str(error)) from error
    return [_permission(name, fields, look, peak) for name, fields in _QUANTITIES.items()]


def _permission(
    quantity: str, fields: tuple[str, ...], look: Look, peak: Missing | None
) -> Permission:
    missing = next((look.missing[name] for name in fields if name in look.missing), None)
    if quantity == "peak memory" and missing is None:
        missing = peak
    if missing is None:
        return Permission(quantity, True, None, None)
    return Permission(quantity, False, missing.reason, missing.remedy)
