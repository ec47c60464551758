"""Several Locust processes: a master that writes the request log, and workers with the users.

Each worker keeps the account of its own users and sends it in batches, by Locust's own messages.
The workers are processes of the master's, or come from other machines (`labrun locust-worker`);
times within a window count from each worker's own start of it, so no clock is compared with
another's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic_ns
from typing import Any

import msgspec
from locust import runners
from locust.env import Environment
from locust.runners import MasterRunner

from harness.drivers.locust.config import ROW_BYTES, LocustConfig, Stopped, interval_ns
from harness.drivers.locust.crew import Crew, Listen, master_of, obituary
from harness.drivers.locust.parent import LogWriter, ParentChannel
from harness.drivers.locust.worker import (
    ARRIVE_S,
    CLASSES,
    STRAGGLE_S,
    limit,
    wait_for,
    warm_up,
)
from harness.drivers.open_loop.worker import Summary, cpu_ns

# A worker that is missing stays so: Locust would hand its users to the others after a minute.
runners.HEARTBEAT_DEAD_INTERNAL = -(10**9)
# Seconds of silence until then. Locust's 3 can pass on a machine that is merely busy.
runners.HEARTBEAT_LIVENESS = 8


class Workers:
    """The workers of a master, and what they said."""

    def __init__(
        self, config: LocustConfig, runner: MasterRunner, log: LogWriter, listen: Listen
    ) -> None:
        self._config, self._runner, self._log = config, runner, log
        self.held: set[int] = set()
        self.first: dict[int, int] = {}
        self.done: dict[int, tuple[int, int, int]] = {}  # recorded, CPU and time in ns
        self.arrived: dict[int, int] = {}
        for name in ("held", "rows", "done"):
            listen(f"lab_{name}", getattr(self, f"_{name}"))

    def start(self) -> None:
        """Until all are there. Raises `Stopped`."""
        raise NotImplementedError

    def lost(self) -> list[int]:
        """Those that ended without their account."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all of them."""
        raise NotImplementedError

    def settled(self) -> bool:
        """Whether nothing more is to come."""
        return len(self.done) + len(self.lost()) == self._config.workers

    def obituary(self) -> str:
        """A sentence on the workers that were lost."""
        return obituary(self.lost(), self._config.workers, self.arrived)

    def verdict(self, arrived: int) -> str | None:
        """The requests missing from the account, in a sentence. `arrived`: rows."""
        if self.lost():
            lost = self.obituary()
            return f"{lost}; {self.write_off():,} requests that were still to come are unsent"
        recorded = sum(count for count, _, _ in self.done.values())
        if recorded != arrived:
            return f"workers recorded {recorded:,} requests and {arrived:,} arrived"
        return None

    def write_off(self) -> int:
        """Put down what those that were lost were still to send; how many requests."""
        config = self._config
        return sum(
            self._log.add_lost(
                range(self.before(n), self.before(n) + self.first[n]),
                config.users,
                config.duration_s,
            )
            for n in self.lost()
        )

    def _held(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.held.add(msg.data["number"])
        self.first[msg.data["number"]] = msg.data["users"]

    def _rows(self, environment: Environment, msg: Any, **_: Any) -> None:
        number, rows = msg.data["number"], msg.data["rows"]
        self._log.add(rows, self.before(number))
        self.arrived[number] = self.arrived.get(number, 0) + len(rows) // ROW_BYTES

    def _done(self, environment: Environment, msg: Any, **_: Any) -> None:
        said = msg.data
        self.done[said["number"]] = (said["recorded"], said["cpu_ns"], said["took_ns"])

    def before(self, number: int) -> int:
        """How many users are in the workers before this one."""
        return sum(users for other, users in self.first.items() if other < number)


class LocalWorkers(Workers):
    """Processes of this one's."""

    def __init__(self, config: LocustConfig, runner: MasterRunner, log: LogWriter) -> None:
        super().__init__(config, runner, log, runner.register_message)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start them; they find their master by its port."""
        for number in range(1, self._config.workers + 1):
            part = msgspec.structs.replace(
                self._config, number=number, master_port=self._runner.server.port, measured_fd=-1
            )
            command = [sys.executable, "-P", "-m", "harness.drivers.locust.run", "--worker"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(part) + b"\n")
            process.stdin.flush()  # it stays open: a worker ends with its master
            self._processes[number] = process
        count = self._config.workers
        wait_for(lambda: len(self._runner.clients.ready) == count or self.lost(), ARRIVE_S,
                 f"the arrival of {count} workers")  # fmt: skip
        if self.lost():
            raise Stopped(self.obituary())

    def lost(self) -> list[int]:
        """Those that ended without their account."""
        return [
            n for n, p in self._processes.items() if p.poll() is not None and n not in self.done
        ]

    def stop(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.kill()
            process.wait()


class RemoteWorkers(Workers):
    """Workers of other machines, numbered by the names of these."""

    def __init__(self, config: LocustConfig, runner: MasterRunner, log: LogWriter) -> None:
        where = f"{config.master_host}:{config.master_port}"
        self._crew = Crew(runner, config.workers, where, config.wait_s)
        super().__init__(config, runner, log, self._crew.listen)

    def start(self) -> None:
        """Wait for them, and tell each what to do."""
        config = self._config
        self._crew.gather(
            "lab_order",
            lambda number: msgspec.structs.replace(config, number=number, cpus=[], measured_fd=-1),
        )

    def lost(self) -> list[int]:
        """Those that have not been heard of for seconds, or left, without their account."""
        return [number for number in self._crew.lost() if number not in self.done]

    def stop(self) -> None:
        """Tell them that the trial is over."""
        self._crew.dismiss()


def run_workers(config: LocustConfig, parent: ParentChannel) -> None:
    """The master of `config.workers` processes; `parent`: whom to tell."""
    host = f"http://{config.host}:{config.port}"  # which it tells the workers
    environment = Environment(user_classes=[CLASSES[config.user_class]], host=host)
    runner = master_of(environment, config.master_host, config.master_port)
    log = LogWriter(config.measured_fd, interval_ns(config))
    workers = (RemoteWorkers if config.expected else LocalWorkers)(config, runner, log)
    parent.leave = workers.stop
    try:
        workers.start()
        warm_up(runner, config)
        runner.send_message("lab_hold")
        wait_for(lambda: len(workers.held) == config.workers or workers.lost(),
                 config.timeout_s + ARRIVE_S, "the end of the warm-up")  # fmt: skip
        if workers.lost():
            raise Stopped(workers.obituary())
        parent.say_warm()
        log.open(monotonic_ns())
        for client in runner.clients.all:
            runner.send_message(
                "lab_go", {"first": workers.first, "users": config.users}, client.id
            )
        began_ns, used_ns = monotonic_ns(), cpu_ns()
        wait_for(workers.settled, limit(config) + STRAGGLE_S, "the end of the window")
        took_ns, own_ns = monotonic_ns() - began_ns, cpu_ns() - used_ns
        recorded = [workers.done[n][0] for n in sorted(workers.done)]
        failure = workers.verdict(log.written)
        used = [own_ns, *(cpu for _, cpu, _ in workers.done.values())]
        # One process can fill a CPU, and so can all of them together where they share one.
        shared_ns = 0 if config.expected else sum(used) // len(os.sched_getaffinity(0))
        busiest_ns = max(*used, shared_ns)
        parent.say(Summary(took_ns, busiest_ns, 0, recorded=recorded, failure=failure))
    finally:
        workers.stop()
        runner.quit()
