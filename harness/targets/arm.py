"""One arm of a run: a server, by what it is and by what it has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.options import SERVED
from harness.core.record import ServerSettings, Settings
from harness.targets.server_code import ServerSource


@dataclass(frozen=True, slots=True)
class Arm:
    """A backend in one slot of a run. `name`: its own, where it has one. `options`: of its server,
    where they are other than the settings have them; `workload` and `workers`: a trial's, where
    they change from trial to trial. `source`: where the code is other than the lab's own.
    `python`: the interpreter that runs it, as it was named, where arms have several. `server`: a
    server of any kind, and no backend; `backend` is then its name."""

    backend: str
    slot: int
    workload: str | None = None
    workers: int | None = None
    source: ServerSource | None = None
    python: str | None = None
    name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    server: ServerSettings | None = None

    def chosen(self, settings: Settings) -> dict[str, Any]:
        """The options that its server is started with, by the names of the settings."""
        own = {"workload": self.workload, "workers": self.workers}
        there = {name: getattr(settings, name) for name in SERVED}
        mine = {name: value for name, value in own.items() if value is not None}
        return there | dict(self.options) | mine


def arms_of(settings: Settings) -> list[Arm]:
    """The arms of a run, by slot."""
    foreign = {server.name: server for server in settings.servers}
    if not settings.arms:
        return [
            Arm(backend, slot, server=foreign.get(backend))
            for slot, backend in enumerate(settings.backends)
        ]
    pythons: list[str | None] = [*settings.pythons] or [None] * len(settings.arms)
    return [
        Arm(
            arm.backend,
            slot,
            python=python,
            name=arm.name,
            options=arm.options,
            server=foreign.get(arm.backend),
        )
        for slot, (arm, python) in enumerate(zip(settings.arms, pythons, strict=True))
    ]
