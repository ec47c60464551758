"""A worker among several Locust processes: users of its own, orders from the master.

It keeps the account of its users, in times from its own start of the window, and ships it in
batches. It is a process of the master's, or of another machine's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from time import time
from typing import Any, NoReturn

import gevent
import msgspec
from gevent.event import AsyncResult
from locust import runners
from locust.env import Environment
from locust.runners import WorkerRunner

from harness.drivers.locust.config import (
    MASTER_LOST,
    NO_MASTER,
    TRIAL_OVER,
    LocustConfig,
    WorkerConfig,
)
from harness.drivers.locust.local_users import (
    CLASSES,
    TICK_S,
    LocalUsers,
    equip,
    limit,
    make_environment,
)

_LOST_S = 15.0  # without a word from the master, a worker of another machine gives it up
_CALL_S = 5  # between two calls for a master


def be_worker(config: LocustConfig) -> None:
    """One of the master's own processes: users here, orders from the master."""
    environment = make_environment(config)
    runner = environment.create_worker_runner(config.master_host, config.master_port)
    work(config, environment, runner)
    gevent.get_hub().join()


def be_remote_worker(found: WorkerConfig) -> None:
    """A worker of another machine, for one trial. Ends the process, with one of three statuses."""
    runners.CONNECT_TIMEOUT = max(1, min(_CALL_S, int(found.wait_s)))
    runners.CONNECT_RETRY_COUNT = int(found.wait_s / runners.CONNECT_TIMEOUT) - 1
    runners.MASTER_HEARTBEAT_TIMEOUT = 10**9  # which this looks after itself
    logging.getLogger("locust").setLevel(logging.CRITICAL)  # it would tell of each call
    environment = Environment(user_classes=list(CLASSES.values()))
    given = AsyncResult()

    def begin(environment: Environment, msg: Any, **_: Any) -> None:
        given.set(msgspec.convert(msg.data, type=LocustConfig))

    def end(environment: Environment, msg: Any, **_: Any) -> None:
        os._exit(TRIAL_OVER)

    heard = {"lab_order": begin, "lab_end": end}
    try:
        runner = _Listening(environment, found.master_host, found.master_port, heard)
    except ConnectionError:
        os._exit(NO_MASTER)
    environment.runner = runner
    gevent.spawn(_give_up, runner)
    config = given.get()
    equip(environment, config)
    runner.send_message("lab_ready", {"number": config.number})
    work(config, environment, runner)
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
