"""Protocol of a driver: one way of sending load, with all in which it differs from others.

A driver is the object `DRIVER` of `harness/drivers/NAME/driver.py`; its name is in `DriverName` of
the record (NAME has underscores). What asks a driver never asks for its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self, get_args

from harness.core.checks import one_of
from harness.core.errors import LabError
from harness.core.record import Arrivals, Client, DriverName, Settings, TrialClass
from harness.drivers.request_log import PhaseLog
from harness.machine.cpus import CpuPlan

if TYPE_CHECKING:
    from harness.drivers.open_loop.worker import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How load is to be sent, as typed. None: not typed."""

    driver: str = "open-loop"
    target: str | None = None  # HOST:PORT of a server on another machine
    clients: int = 100
    arrivals: str = "poisson"
    generators: int = 1
    users: int | None = None
    user_class: str | None = None
    locust_workers: int | None = None
    expect_workers: int | None = None
    master: str | None = None
    worker_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class LoadPhase:
    """Load for one target, by its place among them: `rps` for `duration_s`, drawn from `seed`."""

    target: int
    rps: float
    duration_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Load:
    """The load to send. `targets`: host and port of each; `warmup`: phases one right after the
    other; `measured`: phases each at a word; `descriptors`: how many the process may open."""

    targets: Sequence[tuple[str, int]]
    warmup: Sequence[LoadPhase]
    measured: Sequence[LoadPhase]
    settings: Settings
    cpus: CpuPlan
    descriptors: int


@dataclass(frozen=True, slots=True)
class Sending:
    """A driver at work: its process, which says `warm` once it is, runs a measured phase for each
    line that it is told and says its `Summary`; and the request log of each measured phase.
    `process` may be several that are as one."""

    process: Generator
    request_logs: list[PhaseLog]


class Generator(Protocol):
    """Whoever sends load, in a process of its own or in several; a context that ends it."""

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def tell(self, line: bytes) -> None:
        """Write one line to it. Raises `ProcessDied`."""

    def must_say(self, timeout_s: float) -> bytes:
        """Its next line. Raises `ProcessDied` when it does not come in time."""

    def wait_for_line(self, timeout_s: float) -> bytes | None:
        """Its next line, or None when there is none within `timeout_s`. Raises `ProcessDied`."""

    def summary(self, line: bytes) -> Summary:
        """The `Summary` of a measured phase, read from a line of its output."""


class Driver(Protocol):
    """One way of sending load. Without state: there is one object for all runs.

    `called`: in a sentence. `options`: the fields of `LoadOptions` that not every driver has.
    `in_turns`: whether it loads several targets, one after the other, as the design of blocks does.
    `keeps_connections`: whether its clients can keep theirs (`--connections keep-alive`).
    `any_server`: whether it can send any request, and takes a response to end by its framing.
    `falls_behind`: whether a client that waits for an answer sends its next request later than it
    was planned, so that between the two there is more than lag (charts and kept rows ask).
    `leaves_out`: why the waiting of what was never sent is in no figure, in a sentence (the report
    asks); None where it is in the response times.
    """

    called: str
    options: tuple[str, ...]
    in_turns: bool
    any_server: bool
    keeps_connections: bool
    falls_behind: bool
    leaves_out: str | None

    def choose(self, options: LoadOptions) -> dict[str, Any]:
        """Those fields of `Settings` that say how load is sent. `session` calls it when it makes
        the settings, before anything heavy is imported. Raises `LabError` for what cannot be."""

    def start(self, load: Load) -> Sending:
        """Start the process that sends `load`. `measure` calls it once a trial or restart, when the
        servers are up. Raises `LabError` when it cannot be started."""

    def classify(
        self, client: Client, asked: float, failure: str | None
    ) -> tuple[TrialClass, str | None]:
        """The class of a trial, and in words why it is not sound. `measure` calls it when the trial
        is over. `asked`: how many requests the rate comes to; `failure`: of its `Summary`."""

    def warnings(self, client: Client, asked: float) -> list[str]:
        """Its own effects on the figures, a sentence each. Called with `classify`."""

    def sentence(self, settings: Settings) -> str | None:
        """A sentence on what a run that it drove leaves out. Tables and reports call it."""


@cache
def driver_of(name: str) -> Driver:
    """The driver of that name, imported when it is asked for. Raises `LabError` where there is no
    such driver."""
    one_of("--driver", name, DriverName)
    driver: Driver = import_module(f"harness.drivers.{name.replace('-', '_')}.driver").DRIVER
    return driver


def choose(options: LoadOptions) -> dict[str, Any]:
    """Those fields of `Settings` that say how load is sent. Raises `LabError`."""
    chosen = driver_of(options.driver)
    for name in get_args(DriverName):
        other = driver_of(name)
        given = [
            f"--{option.removesuffix('_s').replace('_', '-')}"
            for option in other.options
            if option not in chosen.options and getattr(options, option) is not None
        ]
        if given:
            raise LabError(
                f"{' and '.join(given)}: only {other.called} has these; add --driver {name} or "
                "leave it out"
            )
    one_of("--arrivals", options.arrivals, Arrivals)
    return {"driver": options.driver, **chosen.choose(options)}
