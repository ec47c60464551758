"""The open loop in processes of other machines, that send as one: each an engine for its own
clients, started by a `labrun locust-worker`, with its orders and rows in Locust's messages.

Without gevent, so that the lab can import it; who carries the messages is
`harness.drivers.locust.engines`.
"""

from __future__ import annotations

import sys

import msgspec

from harness.drivers.driver import Load
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.open_loop.worker import GeneratorConfig, Phase
from harness.machine.child_process import ChildProcess


class FleetConfig(msgspec.Struct, frozen=True):
    """The order to the process that waits for the workers, at `master_host`:`master_port` for
    `wait_s` seconds. `config`: what all are to do, with the requests of all clients; `warmup`,
    `measured`: the phases of each worker, with the descriptors of its request logs, which that
    process inherits; `warmup_s`: how long the warm-up may take; `measured_s`: how long each
    measured phase may, until its last answer is there."""

    config: GeneratorConfig
    warmup: list[list[Phase]]
    measured: list[list[Phase]]
    master_host: str
    master_port: int
    wait_s: float
    warmup_s: float
    measured_s: list[float]


class EngineOrder(msgspec.Struct, frozen=True):
    """To the worker of that number, from 1. `config`: of its engine, with the requests of its own
    clients alone, and without descriptors; `warmup`, `measured`: the schedule of each phase as
    `schedule_bytes` has it."""

    number: int
    config: GeneratorConfig
    warmup: list[bytes]
    measured: list[bytes]


class FleetProcess(GeneratorProcess):
    """The master of the workers in the generator's place: the same request logs and words."""

    leave_s = 1.0  # to tell the workers

    def __init__(self, config: FleetConfig) -> None:
        command = [sys.executable, "-P", "-m", "harness.drivers.locust.run", "--engines"]
        fds = tuple(phase.fd for worker in config.warmup + config.measured for phase in worker)
        ChildProcess.__init__(self, "master of the workers", command, pass_fds=fds)
        self.tell(msgspec.json.encode(config))


def fleet_config(load: Load, workers: list[GeneratorConfig]) -> FleetConfig:
    """The order for a run with workers of other machines, made of one for each as if they were
    processes here. Its settings must expect some."""
    settings = load.settings
    master_host, _, master_port = (settings.master or "").rpartition(":")
    return FleetConfig(
        config=msgspec.structs.replace(workers[0], warmup=[], measured=[]),
        warmup=[worker.warmup for worker in workers],
        measured=[worker.measured for worker in workers],
        master_host=master_host,
        master_port=int(master_port),
        wait_s=settings.worker_wait_s or 0.0,
        warmup_s=sum(phase.duration_s + settings.timeout_s for phase in load.warmup),
        measured_s=[phase.duration_s + settings.timeout_s for phase in load.measured],
    )
