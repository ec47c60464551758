"""The users of one Locust process, from their start to their account."""

from __future__ import annotations

import resource
from collections.abc import Callable
from time import monotonic, monotonic_ns

import gevent
from locust import User, constant
from locust.env import Environment
from locust.runners import Runner

from harness.drivers.locust.config import LocustConfig, Stopped, interval_ns
from harness.drivers.locust.locustfile import MetricStreamSocketUser, MetricStreamUser
from harness.drivers.locust.window import Window

TICK_S = 0.02
ARRIVE_S = 30.0  # for what must happen before the window
STRAGGLE_S = 10.0  # how long after its end a window may be at an end
_SHIP_S = 0.25
CLASSES: dict[str, type[User]] = {"fast": MetricStreamUser, "socket": MetricStreamSocketUser}


def cpu_ns() -> int:
    """CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def make_environment(config: LocustConfig) -> Environment:
    """One process's users, with their window in `environment.lab`."""
    environment = Environment(user_classes=[CLASSES[config.user_class]], stop_timeout=None)
    equip(environment, config)
    return environment


def equip(environment: Environment, config: LocustConfig) -> None:
    """Give a process's users what a trial needs."""
    chosen = CLASSES[config.user_class]
    chosen.wait_time = constant(0)  # the window says when
    chosen.host = f"http://{config.host}:{config.port}"
    for name in ("connection_timeout", "network_timeout", "timeout_s"):
        if hasattr(chosen, name):
            setattr(chosen, name, config.timeout_s)
    environment.host = chosen.host
    loopback = config.host.startswith("127.")
    environment.lab = Window(  # type: ignore[attr-defined]
        config.number, config.body.encode(), interval_ns(config), config.timeout_s, loopback
    )


def limit(config: LocustConfig) -> float:
    """Seconds within which a window must be over: its own, and that of the last request."""
    return config.duration_s + config.timeout_s + STRAGGLE_S


def wait_for(done: Callable[[], object], limit_s: float, what: str) -> None:
    """Until `done()`. Raises `Stopped` when it takes longer."""
    until_s = monotonic() + limit_s
    while not done():
        if monotonic() > until_s:
            raise Stopped(f"{what} did not happen within {limit_s:g} s")
        gevent.sleep(TICK_S)


class LocalUsers:
    """The users of one process, from their start to their account."""

    def __init__(self, environment: Environment, runner: Runner) -> None:
        self.window: Window = environment.lab  # type: ignore[attr-defined]
        self._runner = runner

    def held(self) -> bool:
        """Whether every user waits at the gate."""
        return self.window.waiting >= self._runner.user_count > 0

    def run_window(self, ship: Callable[[bytes], None], limit_s: float) -> tuple[int, int]:
        """Until the window is over; the CPU time and the time it took, in nanoseconds. `ship` is
        given the rows of each quarter of a second."""
        began_ns, used_ns = monotonic_ns(), cpu_ns()
        shipped_s = monotonic()
        until_s = monotonic() + limit_s
        while not self.window.over():
            if monotonic() > until_s:
                raise Stopped(f"users did not come to an end within {limit_s:g} s")
            gevent.sleep(TICK_S)
            if monotonic() - shipped_s > _SHIP_S:
                shipped_s = monotonic()
                ship(self.window.take_rows())
        ship(self.window.take_rows())
        return cpu_ns() - used_ns, monotonic_ns() - began_ns


def warm_up(runner: Runner, config: LocustConfig) -> None:
    """Start all users, and let them send for the time of the warm-up."""
    runner.start(config.users, spawn_rate=max(1000, config.users), wait=False)
    wait_for(lambda: runner.user_count >= config.users, ARRIVE_S, "the start of all users")
    gevent.sleep(config.warmup_s)
