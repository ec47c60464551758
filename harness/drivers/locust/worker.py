"""The users of one Locust process, from their start to their account; and a worker among several
such processes, with orders from the master.

A worker keeps the account of its users, in times from its own start of the window, and ships it in
batches. It is a process of the master's, or of another machine's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from time import monotonic, monotonic_ns, time
from typing import Any, NoReturn, Protocol

import gevent
import msgspec
from gevent.event import AsyncResult
from locust import User, constant, runners
from locust.env import Environment
from locust.runners import Runner, WorkerRunner

from harness.drivers.locust.config import (
    MASTER_LOST,
    NO_MASTER,
    TRIAL_OVER,
    LocustConfig,
    Stopped,
    WorkerConfig,
    interval_ns,
)
from harness.drivers.locust.locustfile import MetricStreamSocketUser, MetricStreamUser
from harness.drivers.locust.window import Window
from harness.drivers.open_loop.fleet import EngineOrder
from harness.drivers.open_loop.worker import cpu_ns

TICK_S = 0.02
ARRIVE_S = 30.0  # for what must happen before the window
STRAGGLE_S = 10.0  # how long after its end a window may be at an end
_SHIP_S = 0.25
CLASSES: dict[str, type[User]] = {"fast": MetricStreamUser, "socket": MetricStreamSocketUser}
_LOST_S = 15.0  # without a word from the master, a worker of another machine gives it up
_CALL_S = 5  # between two calls for a master


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


def be_worker(config: LocustConfig) -> None:
    """One of the master's own processes: users here, orders from the master."""
    environment = make_environment(config)
    runner = environment.create_worker_runner(config.master_host, config.master_port)
    work(config, environment, runner)
    gevent.get_hub().join()


class Engine(Protocol):
    """A worker that has an engine of the open loop for its users (`engines.EngineWorker`)."""

    heard: dict[str, Callable[..., None]]

    def work(self, order: EngineOrder, runner: WorkerRunner) -> None:
        """Run every phase; returns when the last account has left."""


def be_remote_worker(found: WorkerConfig, engine: Engine) -> None:
    """A worker of another machine, for one trial. Ends the process, with one of four statuses."""
    runners.CONNECT_TIMEOUT = max(1, min(_CALL_S, int(found.wait_s)))
    runners.CONNECT_RETRY_COUNT = int(found.wait_s / runners.CONNECT_TIMEOUT) - 1
    runners.MASTER_HEARTBEAT_TIMEOUT = 10**9  # which this looks after itself
    logging.getLogger("locust").setLevel(logging.CRITICAL)  # it would tell of each call
    environment = Environment(user_classes=list(CLASSES.values()))
    given = AsyncResult()

    def begin(environment: Environment, msg: Any, **_: Any) -> None:
        given.set(msgspec.convert(msg.data, type=LocustConfig))

    def begin_engine(environment: Environment, msg: Any, **_: Any) -> None:
        given.set(msgspec.convert(msg.data, type=EngineOrder))

    def end(environment: Environment, msg: Any, **_: Any) -> None:
        os._exit(TRIAL_OVER)

    heard = {"lab_order": begin, "lab_engine": begin_engine, "lab_end": end, **engine.heard}
    try:
        runner = _Listening(environment, found.master_host, found.master_port, heard)
    except ConnectionError:
        os._exit(NO_MASTER)
    environment.runner = runner
    gevent.spawn(_give_up, runner)
    order: LocustConfig | EngineOrder = given.get()
    if isinstance(order, EngineOrder):
        engine.work(order, runner)
    else:
        equip(environment, order)
        runner.send_message("lab_ready", {"number": order.number})
        work(order, environment, runner)
    gevent.get_hub().join()


class _Listening(WorkerRunner):
    """A worker that knows these messages before its master knows of it.

    The config may come on the heels of the acknowledgement that ends the constructor, and a message
    for which nobody has registered is dropped.
    """

    def __init__(
        self,
        environment: Environment,
        master_host: str,
        master_port: int,
        heard: dict[str, Callable[..., None]],
    ) -> None:
        self._heard = heard
        super().__init__(environment, master_host, master_port)

    def worker(self) -> NoReturn:
        """The thread that hears the master, started before the first word to it."""
        for name, listener in self._heard.items():
            self.register_message(name, listener)
        super().worker()


def _give_up(runner: WorkerRunner) -> None:
    """End the process once the master has been silent for too long."""
    while time() - (runner.last_heartbeat_timestamp or time()) < _LOST_S:
        gevent.sleep(1.0)
    os._exit(MASTER_LOST)


def work(config: LocustConfig, environment: Environment, runner: WorkerRunner) -> None:
    """The part of one worker in a trial, until its account has left."""
    users = LocalUsers(environment, runner)
    go = AsyncResult()

    def hold(environment: Environment, msg: Any, **_: Any) -> None:
        users.window.hold()
        gevent.spawn(tell_held)

    def tell_held() -> None:
        while not users.held():
            gevent.sleep(TICK_S)
        said = {"number": config.number, "users": runner.user_count}
        runner.send_message("lab_held", said)

    def begin(environment: Environment, msg: Any, **_: Any) -> None:
        go.set(msg.data)

    runner.register_message("lab_hold", hold)
    runner.register_message("lab_go", begin)
    said = go.get()
    first = sum(many for other, many in said["first"].items() if int(other) < config.number)
    users.window.open(config.duration_s, said["users"], first)

    def ship(rows: bytes) -> None:
        if rows:
            runner.send_message("lab_rows", {"number": config.number, "rows": rows})

    used_ns, took_ns = users.run_window(ship, limit(config))
    runner.send_message("lab_done", {
        "number": config.number, "recorded": users.window.recorded, "cpu_ns": used_ns,
        "took_ns": took_ns,
    })  # fmt: skip
