"""Locust as a driver: a closed loop of users, in processes of its own. Without gevent, so that the
lab can import it."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from harness.core.checks import between, one_of
from harness.core.errors import LabError
from harness.core.record import Client, Settings, TrialClass, UserClass
from harness.core.trials import SATURATED_BELOW
from harness.drivers.driver import Driver, Load, LoadOptions, Sending
from harness.drivers.locust.config import (
    LocustConfig,
    WebConfig,
    WebReady,
    WorkerConfig,
    most_requests,
)
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.payloads import BODY
from harness.drivers.remote import OPTIONS, expected_workers, need_locust
from harness.drivers.request_log import PhaseLog, RequestLog
from harness.machine.child_process import START_S, ChildProcess, ProcessDied

# Locust itself warns above this: its users then wait for one another, and call that latency.
CPU_LIMIT = 0.9
# Its timers count whole milliseconds; later than this, something else had its CPU.
LAG_LIMIT_US = 10_000.0
_LAG_TOLD_US = 1000.0


class LocustProcess(GeneratorProcess):
    """Locust in the generator's place: the same request log, the same words."""

    leave_s = 1.0  # its workers may be on other machines

    def __init__(self, config: LocustConfig) -> None:
        command = [sys.executable, "-P", "-m", "harness.drivers.locust.run"]
        ChildProcess.__init__(self, "locust", command, pass_fds=(config.measured_fd,))
        self.tell(msgspec.json.encode(config))


class DistantWorker(ChildProcess):
    """A Locust worker for one trial of a lab on another machine."""

    def __init__(self, config: WorkerConfig) -> None:
        command = [sys.executable, "-P", "-m", "harness.drivers.locust.run", "--distant"]
        super().__init__("locust worker", command)
        self.tell(msgspec.json.encode(config))

    def until_its_end(self) -> tuple[int, str]:
        """Its exit status and what it said last."""
        status = self.process.wait()
        return status, self.last_words()


class LocustPage(ChildProcess):
    """Locust's web page. Raises `LabError` when there can be none."""

    def __init__(self, config: WebConfig) -> None:
        super().__init__("locust page", [sys.executable, "-P", "-m", "harness.drivers.locust.web"])
        try:
            self.tell(msgspec.json.encode(config))
            self.url = msgspec.json.decode(self.must_say(START_S), type=WebReady).url
        except ProcessDied as error:
            last = self.last_words()
            self.stop()
            raise LabError(last or str(error)) from error


class Locust:
    """Users that send again when they have their answer, or when their next request is due."""

    called = "Locust"
    options: tuple[str, ...] = (
        "users", "user_class", "locust_workers", *OPTIONS,
    )  # fmt: skip
    in_turns = False
    any_server = False
    keeps_connections = False
    falls_behind = False  # a user's next request is due when its last one is answered
    leaves_out: str | None = (
        "Locust is a closed loop, so what requests would have waited that its users did not send "
        "is not in these figures."
    )

    def choose(self, options: LoadOptions) -> dict[str, Any]:
        """Users for clients, and the processes that they are in."""
        need_locust()
        if options.generators != 1:
            raise LabError(
                "--generators and --driver locust do not go together; its processes are "
                "--locust-workers"
            )
        users = options.clients if options.users is None else options.users
        if options.user_class is not None:
            one_of("--user-class", options.user_class, UserClass)
        if options.locust_workers is not None:
            between("--locust-workers", options.locust_workers, 0, 64)
        expected = expected_workers(options)
        if expected and options.locust_workers:
            raise LabError(
                "--expect-workers waits for workers that others start and --locust-workers starts "
                "them here; take one of the two"
            )
        between("--users", users, 1, 10_000)
        for name, many in (
            ("--locust-workers", options.locust_workers),
            ("--expect-workers", options.expect_workers),
        ):
            if many is not None and users < many:
                raise LabError(
                    f"{name} {many}: {users} users cannot be spread over that many; take fewer "
                    "workers or more --users"
                )
        return {
            "clients": users,
            "arrivals": "constant",  # a user sends at equal gaps, when it may
            "user_class": options.user_class or "socket",
            "locust_workers": options.locust_workers or 0,
            **expected,
        }

    def start(self, load: Load) -> Sending:
        """Start one process, which starts the others."""

        settings = load.settings
        ((host, port),), (measured,) = load.targets, load.measured
        log = RequestLog.create(
            most_requests(settings.clients, measured.rps, measured.duration_s), scheduled=False
        )
        # Without workers of other machines the master takes a port that is free, on loopback.
        master_host, _, master_port = (settings.master or "127.0.0.1:0").rpartition(":")
        config = LocustConfig(
            host=host,
            port=port,
            body=BODY,
            users=settings.clients,
            rps=measured.rps,
            user_class=settings.user_class or "socket",
            workers=settings.expect_workers or settings.locust_workers or 0,
            warmup_s=sum(phase.duration_s for phase in load.warmup),
            duration_s=measured.duration_s,
            timeout_s=settings.timeout_s,
            cpus=sorted(load.cpus.generator) if load.cpus.placed else [],
            measured_fd=log.fd,
            master_host=master_host,
            master_port=int(master_port),
            expected=settings.expect_workers is not None,
            wait_s=settings.worker_wait_s or 0.0,
        )
        process = LocustProcess(config)
        log.close()
        return Sending(process, [PhaseLog([log])])

    def classify(
        self, client: Client, asked: float, failure: str | None
    ) -> tuple[TrialClass, str | None]:
        """Users send less when they wait for answers: whether the server or Locust itself was slow
        is told by how much of its CPU it used, and by its lag."""
        if failure is not None:
            return "generator-limited", failure
        used = client.generator_cpu_share
        if used is not None and used > CPU_LIMIT:
            return "generator-limited", (
                f"Locust used {used:.0%} of a CPU (limit {CPU_LIMIT:.0%}), so it timed itself"
            )
        late_us = client.lag_us.p99
        if late_us is not None and late_us > LAG_LIMIT_US:
            return "generator-limited", (
                f"Locust was {late_us / 1e3:.1f} ms late at p99 (limit {LAG_LIMIT_US / 1e3:g} "
                "ms), so it timed itself"
            )
        if client.scheduled < SATURATED_BELOW * asked:
            return "server-saturated", None
        if client.success_rate is not None and client.success_rate < SATURATED_BELOW:
            return "server-saturated", None
        return "sound", None

    def warnings(self, client: Client, asked: float) -> list[str]:
        """The effect of a closed loop of users on its own figures."""
        told = []
        if client.scheduled < SATURATED_BELOW * asked:
            told.append(
                f"Locust's users sent {client.scheduled:,} of {asked:,.0f} requests: whoever waits "
                "for an answer sends nothing, so what the rest would have waited is not in the "
                "figures"
            )
        if client.lag_us.p99 is not None and client.lag_us.p99 > _LAG_TOLD_US:
            told.append(
                f"Locust was {client.lag_us.p99 / 1e3:.1f} ms late at p99, and counts that as "
                "response"
            )
        return told

    def sentence(self, settings: Settings) -> str | None:
        """The sentence on what a closed loop of users hides."""
        spread = f" in {settings.locust_workers} workers" if settings.locust_workers else ""
        if settings.expect_workers:
            spread = f" in {settings.expect_workers} workers of other machines"
        return (
            f"Driven by Locust ({settings.user_class} users{spread}), a closed loop: a user sends "
            "again only when it has its answer. While the server is slow fewer requests leave, and "
            "what the missing ones would have waited is in no figure; Locust's own lateness is in "
            "every response time."
        )


DRIVER: Driver = Locust()
