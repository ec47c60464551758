"""The server of a trial: how it is started, and where."""

from __future__ import annotations

from harness.core.errors import ServerRefused
from harness.core.record import Settings
from harness.machine.cpus import CpuPlan
from harness.targets.arm import Arm
from harness.targets.processes import ServerProcess
from harness.targets.remote import RemoteServer
from servers.options import arguments_of


def server_arguments(arm: Arm, settings: Settings, cpus: CpuPlan) -> list[str]:
    """The command line of the server of a trial, without its address."""
    chosen = arm.chosen(settings)
    if cpus.pinned and settings.target is None:
        chosen["cpus"] = cpus.server
    return [arm.backend, *arguments_of(chosen)]


def start_server(arm: Arm, settings: Settings, cpus: CpuPlan) -> ServerProcess | RemoteServer:
    """A fresh server of a trial, of the lab's own code, of another tree's, or of another machine's.

    Raises `LabError` where there is none to be had: `ServerRefused` where it would not start.
    """
    arguments, source = server_arguments(arm, settings, cpus), arm.source
    if settings.target is not None:
        return RemoteServer(arm, settings, arguments)
    if source is None:
        return ServerProcess(arguments)
    accepted = source.accepted(arguments)
    try:
        return ServerProcess(accepted, source.python, source.folder, source.environment())
    except ServerRefused as error:
        raise ServerRefused(f"{source.label}: {error}") from error
