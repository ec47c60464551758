"""The server of a trial: how it is started, and where."""

from __future__ import annotations

from harness.core.errors import ServerRefused
from harness.core.record import Settings
from harness.machine.cpus import CpuPlan
from harness.targets.arm import Arm
from harness.targets.processes import ServerProcess
from harness.targets.remote import RemoteServer


def server_arguments(arm: Arm, settings: Settings, cpus: CpuPlan) -> list[str]:
    """The command line of the server of a trial, without its address."""
    workers = settings.workers if arm.workers is None else arm.workers
    workload = settings.workload if arm.workload is None else arm.workload
    arguments = [
        arm.backend,
        f"--workers={workers}",
        f"--queue-size={settings.queue_size}",
        f"--stack-size={settings.stack_size_bytes}",
        f"--backlog={settings.backlog}",
        f"--rate-limit={settings.rate_limit_per_s}",
        f"--workload={workload}",
    ]
    if cpus.pinned and settings.target is None:
        arguments.append("--cpus=" + ",".join(map(str, sorted(cpus.server))))
    if settings.switch_interval_s is not None:
        arguments.append(f"--switch-interval={settings.switch_interval_s}")
    if settings.lock_stacks:
        arguments.append("--lock-stacks")
    if settings.max_threads is not None:
        arguments.append(f"--max-threads={settings.max_threads}")
    return arguments


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
