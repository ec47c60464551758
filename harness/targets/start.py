"""The server of a trial: started here, of the lab's own code or of another tree's, or one on
another machine, which the lab can ask and, where it is allowed, have replaced."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from harness.core.closing import Closing
from harness.core.errors import LabError, ServerRefused
from harness.core.record import Settings
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan
from harness.targets.arm import Arm, arms_of
from harness.targets.control_client import ControlClient, ControlLost, RestartNotAllowed
from harness.targets.processes import ServerProcess, ServerReady
from servers.native.build import NATIVE, CannotBuild, built
from servers.options import OPTIONS, arguments_of
from servers.report import Report
from servers.restart import Restart

_CONNECT_S = 5.0
_RESTART_S = 30.0
_LOOK_S = 0.1
_SWITCH_INTERVAL_STEP_S = 1e-6  # what Python rounds it to


def server_arguments(arm: Arm, settings: Settings, cpus: CpuPlan) -> list[str]:
    """The command line of the server of a trial, without its address."""
    chosen = arm.chosen(settings)
    if cpus.placed and settings.target is None:
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
        return ServerProcess(accepted, source.python, source.where, source.environment())
    except ServerRefused as error:
        raise ServerRefused(f"{source.label}: {error}") from error


def build_native(backends: Iterable[str]) -> None:
    """Those of the backends that are in C++. Raises `LabError` where they cannot be built."""
    for name in dict.fromkeys(backends):
        if name in NATIVE:
            try:
                built(name)
            except CannotBuild as error:
                raise LabError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Address:
    """A host as an IPv4 address, so that no request waits for a name, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, option: str, text: str) -> Address:
        """Of HOST:PORT. Raises `LabError` for a host that is not known."""
        name, _, port = text.rpartition(":")
        try:
            found = socket.getaddrinfo(name, int(port), socket.AF_INET, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LabError(
                f"{option} {text}: {reason}; give a host with an IPv4 address"
            ) from error
        return cls(str(found[0][4][0]), int(port))


def _ask(control: Address) -> ControlClient:
    return ControlClient(control.host, control.port, _CONNECT_S, elsewhere=True)


def addresses_of(settings: Settings) -> list[tuple[str, str]]:
    """As typed, where each server and its control port are: one for all arms, or one for each."""
    assert settings.target is not None
    assert settings.control is not None
    return [*zip(settings.target.split(","), settings.control.split(","), strict=True)]


def examine_target(settings: Settings) -> None:
    """Whether the run can be made there. Raises `LabError` with one sentence."""
    arms, addresses = arms_of(settings), addresses_of(settings)
    for place, (target, control) in enumerate(addresses):
        report, fresh = _examined(target, control)
        for arm in [] if fresh else arms if len(addresses) == 1 else [arms[place]]:
            _must_be(report, arm.backend, target)
            _must_have(report, _asked_for(settings, arm), target, fresh=False)


def _examined(target: str, control: str) -> tuple[Report, bool]:
    """A server's report of itself, and whether it may be replaced; it answers on both ports."""
    where, asked = Address.parse("--target", target), Address.parse("--control", control)
    try:
        with _ask(asked) as client:
            report, fresh = client.report(), client.may_restart()
    except ControlLost as error:
        raise LabError(f"--control {control}: {error}") from error
    try:
        socket.create_connection((where.host, where.port), _CONNECT_S).close()
    except OSError as error:
        raise LabError(
            f"--target {target} does not answer: {error.strerror or error}; is the server "
            "up, and may this machine reach it?"
        ) from error
    return report, fresh


def _must_be(report: Report, backend: str, target: str) -> None:
    """Raise `LabError` unless the server that runs is of the backend that was asked for."""
    if report.backend != backend:
        raise LabError(
            f"the server at {target} runs {report.backend} and lets nobody replace it by "
            f"{backend}; take --backends {report.backend}, or start it with --allow-restart"
        )


def _asked_for(settings: Settings, arm: Arm) -> dict[str, object]:
    """The options that the server of an arm must have."""
    return arm.chosen(settings) | {"switch_interval_s": _switch_interval_s(settings)}


def _switch_interval_s(settings: Settings) -> float:
    """Python's own, unless the run asks for another: not what the other machine happens to have."""
    if settings.switch_interval_s is None:
        return sys.getswitchinterval()
    return settings.switch_interval_s


def _must_have(report: Report, asked: dict[str, object], target: str, fresh: bool) -> None:
    """Raise `LabError` where a server has another setting than the record would say."""
    for name, wanted in asked.items():
        there = report.settings.get(name)
        if _same(wanted, there):
            continue
        raise LabError(
            f"the server at {target} has {OPTIONS[name].flag} {_plain(there)} and the run asks for "
            f"{_plain(wanted)}; ask for what it has, or start it "
            + ("without that" if fresh else "with --allow-restart")
        )


def _same(wanted: object, there: object) -> bool:
    if isinstance(wanted, float) and isinstance(there, float):
        return abs(wanted - there) <= _SWITCH_INTERVAL_STEP_S
    return (wanted or None) == (there or None)


def _plain(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


class RemoteServer(Closing):
    """Stands where a `ServerProcess` does. `fresh`: whether a new process came for this trial."""

    def __init__(self, arm: Arm, settings: Settings, arguments: list[str]) -> None:
        addresses = addresses_of(settings)
        self._target, asked = addresses[arm.slot if len(addresses) > 1 else 0]
        target = Address.parse("--target", self._target)
        control = self._control = Address.parse("--control", asked)
        order = arguments[1:]
        if settings.switch_interval_s is None:  # else it is among them
            order = [*order, f"--switch-interval={_switch_interval_s(settings)}"]
        try:
            with _ask(control) as client:
                before = client.report()
                self.fresh = _replace(client, Restart(arm.backend, order))
            report = self._successor(before.pid) if self.fresh else before
        except ControlLost as error:
            raise LabError(str(error)) from error
        if report.backend != arm.backend:
            raise LabError(
                f"the server at {self._target} did not start as {arm.backend} (it runs "
                f"{report.backend}); its log says why"
            )
        _must_have(report, _asked_for(settings, arm), self._target, self.fresh)
        self.ready = ServerReady(
            report.backend, report.pid, target.host, target.port, control.port, control.host
        )

    def _successor(self, pid: int) -> Report:
        """The report of the process that comes after `pid`. Raises `ControlLost`."""
        until_s = time.monotonic() + _RESTART_S
        while True:
            try:
                with _ask(self._control) as client:
                    report = client.report()
                    if report.pid != pid:
                        return report
            except ControlLost:
                if time.monotonic() > until_s:
                    raise
            if time.monotonic() > until_s:
                raise ControlLost(f"the server did not start afresh within {_RESTART_S:g} s")
            time.sleep(_LOOK_S)  # what a process on another machine does cannot be awaited

    def close(self) -> None:
        """It is not ours to end."""

    def alive(self, grace_s: float = 0.0) -> bool:
        """As far as is known: its end shows in what it does not answer."""
        return True

    def died(self) -> ProcessDied:
        """For whoever asks all the same."""
        return ProcessDied(f"the server at {self._target} does not answer", "server")

    def drain(self) -> int:
        """Nothing: it is left running, at rest."""
        return 0


def _replace(client: ControlClient, order: Restart) -> bool:
    """Have a fresh server started; False where that is not allowed. Raises `LabError`."""
    try:
        client.restart(order)
    except RestartNotAllowed:
        return False
    except ValueError as error:
        raise LabError(f"the server cannot start as asked: {error}") from error
    return True
