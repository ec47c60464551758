"""One arm of a run: a server, by what it is and by what it has of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.core.options import SERVED
from harness.core.record import Settings
from harness.targets.server_code import ServerSource


@dataclass(frozen=True, slots=True)
class Arm:
    """A backend in one slot of a run. `workload` and `workers`: where they are other than the
    settings have it. `source`: where the server's code is other than the lab's own."""

    backend: str
    slot: int
    workload: str | None = None
    workers: int | None = None
    source: ServerSource | None = None

    def chosen(self, settings: Settings) -> dict[str, Any]:
        """What its server is started with, by the names of the settings."""
        own = {"workload": self.workload, "workers": self.workers}
        there = {name: getattr(settings, name) for name in SERVED}
        return there | {name: value for name, value in own.items() if value is not None}
