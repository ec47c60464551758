"""One arm of a run: a server, by what it is and by what it has of its own."""

from __future__ import annotations

from dataclasses import dataclass

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
