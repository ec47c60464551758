"""The order to Locust's process. Without gevent, so that the lab can import it."""

from __future__ import annotations

import msgspec


class LocustConfig(msgspec.Struct, frozen=True):
    """One trial. `workers`: processes beside the master; 0: one process does it all. `expected`:
    they are of other machines, which have `wait_s` seconds to come to `master_host`:`master_port`.
    `number` is for a worker. `measured_fd`: the request log's descriptor, inherited."""

    host: str
    port: int
    body: str
    users: int
    rps: float
    user_class: str
    workers: int
    warmup_s: float
    duration_s: float
    timeout_s: float
    cpus: list[int]
    measured_fd: int
    number: int = 0
    master_host: str = "127.0.0.1"
    master_port: int = 0
    expected: bool = False
    wait_s: float = 0.0


# What a process tells of one request, each an int64: user, intended, sent, connected, ended, code.
ROW = 6
ROW_BYTES = 8 * ROW


class Stopped(Exception):
    """The run cannot go on; why, in a sentence."""


class WorkerConfig(msgspec.Struct, frozen=True):
    """Where a worker of another machine finds its master, and for how long it looks for it."""

    master_host: str
    master_port: int
    wait_s: float


# How such a worker ends: after a trial, without one, without its master, without its engine.
TRIAL_OVER, NO_MASTER, MASTER_LOST, ENGINE_BROKE = 0, 3, 4, 5


def interval_ns(config: LocustConfig) -> int:
    """Between two requests of one user."""
    return int(1e9 * config.users / config.rps)


def next_due_ns(intended_ns: int, ended_ns: int, interval_ns: int) -> int:
    """When a user whose last request was intended and ended at these times intends its next."""
    return max(intended_ns + interval_ns, ended_ns)


def most_requests(users: int, rps: float, duration_s: float) -> int:
    """How many the users can send within a window at most: they do not catch up."""
    return users * (int(duration_s * rps / users) + 2)


class WebConfig(msgspec.Struct, frozen=True):
    """Where the server is, and where the page is to be (port 0: any that is free)."""

    host: str
    port: int
    control_host: str
    control_port: int
    web_port: int
    user_class: str


class WebReady(msgspec.Struct, frozen=True):
    """The page's address."""

    url: str
