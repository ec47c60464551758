"""The open loop as a driver: requests leave when they are planned, whatever the server does."""

from __future__ import annotations

from typing import Any

from harness.core.checks import between
from harness.core.errors import LabError
from harness.core.record import Client, Settings, TrialClass
from harness.core.trials import SATURATED_BELOW
from harness.drivers.driver import (
    Driver,
    Generator,
    Load,
    LoadOptions,
    LoadPhase,
    Sending,
)
from harness.drivers.open_loop.fleet import FleetProcess, fleet_config
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.open_loop.several import Generators
from harness.drivers.open_loop.worker import GeneratorConfig, Phase, TargetConfig
from harness.drivers.payloads import THE_METRIC, request_text
from harness.drivers.remote import OPTIONS, expected_workers
from harness.drivers.request_log import NEVER_ALLOWED, PhaseLog, RequestLog
from harness.machine.cpus import MOST_GENERATORS
from servers.options import KEEP_ALIVE

# A generator that is this late at p99, or did not get this share off at all, was the limit.
LAG_LIMIT_US = 1000.0
UNSENT_LIMIT = 0.001
RESERVED_DESCRIPTORS = 200


class OpenLoop:
    """The lab's own generator."""

    called = "the open loop"
    options: tuple[str, ...] = OPTIONS
    in_turns = True
    any_server = True
    keeps_connections = True
    falls_behind = False
    leaves_out: str | None = None

    def choose(self, options: LoadOptions) -> dict[str, Any]:
        """Clients, arrivals and processes as typed."""
        between("--generators", options.generators, 1, MOST_GENERATORS)
        if options.expect_workers is not None and options.generators != 1:
            raise LabError(
                "--generators are processes here and --expect-workers waits for those of other "
                "machines; take one of the two"
            )
        for name, many in (
            ("--generators", options.generators),
            ("--expect-workers", options.expect_workers or 1),
        ):
            if many > options.clients:
                raise LabError(
                    f"{name} {many}: {options.clients} clients cannot be shared by that many; take "
                    "fewer, or more --clients"
                )
        return {
            "clients": options.clients,
            "arrivals": options.arrivals,
            "generators": options.generators,
            **expected_workers(options),
        }

    def start(self, load: Load) -> Sending:
        """Draw the schedule of each phase, and start the generator: one process, or several of
        which each has a share of the clients, here or on other machines."""
        from harness.drivers.schedule import make_schedule, phase_log_of

        settings = load.settings
        processes = settings.expect_workers or settings.generators

        def drawn(phase: LoadPhase) -> PhaseLog:
            return phase_log_of(
                make_schedule(
                    phase.rps, phase.duration_s, settings.clients, settings.arrivals, phase.seed
                ),
                processes,
            )

        warmup, measured = [*map(drawn, load.warmup)], [*map(drawn, load.measured)]
        configs = [
            self._config(load, number, [log.parts[number] for log in warmup],
                         [log.parts[number] for log in measured])
            for number in range(processes)
        ]  # fmt: skip
        process = _process(load, configs)
        for log in (*warmup, *measured):
            log.close()  # both sides have it mapped; the descriptors have served
        return Sending(process, measured)

    def _config(
        self, load: Load, number: int, warmup: list[RequestLog], measured: list[RequestLog]
    ) -> GeneratorConfig:
        """The order for the process of that number (from 0)."""
        settings, cpus = load.settings, sorted(load.cpus.generator)
        enough = len(cpus) >= settings.generators  # for each to have one of its own
        if enough and settings.generators > 1:
            cpus = [cpus[number]]
        return GeneratorConfig(
            targets=[target_config(host, port, settings) for host, port in load.targets],
            warmup=[Phase(p.target, log.fd) for p, log in zip(load.warmup, warmup, strict=True)],
            measured=[
                Phase(p.target, log.fd) for p, log in zip(load.measured, measured, strict=True)
            ],
            timeout_ns=int(settings.timeout_s * 1e9),
            # The generator inherits a descriptor of each log.
            max_in_flight=load.descriptors - RESERVED_DESCRIPTORS - len(warmup) - len(measured),
            closed_loop=self.falls_behind,
            own_cpu=load.cpus.pinned and enough,
            cpus=cpus if load.cpus.placed else [],
        )

    def classify(
        self, client: Client, asked: float, failure: str | None
    ) -> tuple[TrialClass, str | None]:
        """By what was not sent, and by how late the rest was; of workers of other machines also by
        what is missing from their account (`failure`).

        Clients of a closed loop that were never allowed to send waited for answers until the window
        was long over. That is the server's limit and no fault of the generator's: the trial stands,
        and what they did not send is missing from its success rate, as it was from their users.
        """
        if failure is not None:
            return "generator-limited", failure
        causes = {name: n for name, n in client.unsent_causes.items() if name != NEVER_ALLOWED}
        never_allowed = client.unsent_causes.get(NEVER_ALLOWED, 0)
        unsent = client.outcomes.unsent - never_allowed
        unsent_share = unsent / client.scheduled if client.scheduled else 0.0
        if unsent_share > UNSENT_LIMIT:
            why = ", ".join(f"{name}: {count}" for name, count in causes.items())
            return "generator-limited", (
                f"the generator did not send {unsent_share:.1%} of the requests "
                f"({why or 'stopped'})"
            )
        if client.lag_us.p99 is not None and client.lag_us.p99 > LAG_LIMIT_US:
            return "generator-limited", (
                f"the generator was {client.lag_us.p99 / 1e3:.1f} ms late at p99 "
                f"(limit {LAG_LIMIT_US / 1e3:g} ms)"
            )
        late = _latest(client)
        if late is not None:
            return "generator-limited", late
        if never_allowed:
            return "server-saturated", None
        if client.success_rate is not None and client.success_rate < SATURATED_BELOW:
            return "server-saturated", None
        return "sound", None

    def warnings(self, client: Client, asked: float) -> list[str]:
        """None: every request that was planned is in its figures."""
        return []

    def sentence(self, settings: Settings) -> str | None:
        """None: it leaves nothing out."""
        return None


def _process(load: Load, configs: list[GeneratorConfig]) -> Generator:
    """Who sends what `configs` say: one process, several, or those of other machines."""
    if load.settings.expect_workers is not None:
        return FleetProcess(fleet_config(load, configs))
    return GeneratorProcess(configs[0]) if len(configs) == 1 else Generators(configs)


def _latest(client: Client) -> str | None:
    """Of several processes the one that was too late, in words; None where none was. Those whose
    clock had to be asked for are of other machines."""
    each = [(part.lag_us.p99 or 0.0, number) for number, part in enumerate(client.generators, 1)]
    lag_us, number = max(each, default=(0.0, 0))
    if lag_us <= LAG_LIMIT_US:
        return None
    far = any(part.clock_ahead_us is not None for part in client.generators)
    return (
        f"{'worker' if far else 'generator'} {number} of {len(each)} was {lag_us / 1e3:.1f} ms "
        f"late at p99 (limit {LAG_LIMIT_US / 1e3:g} ms)"
    )


def target_config(host: str, port: int, settings: Settings) -> TargetConfig:
    """Where a server is, and what each client sends to it. With a server of any kind responses end
    by their framing, for all alike."""
    clients, asked = range(settings.clients), settings.request
    keeps = settings.connections == KEEP_ALIVE
    requests = [
        request_text(asked or THE_METRIC, f"{host}:{port}", f"client-{client}", keeps)
        for client in clients
    ]
    return TargetConfig(
        host,
        port,
        requests,
        [source_address(client, host) for client in clients],
        framed=settings.outside or asked is not None,
        expect=(asked or THE_METRIC).expect,
        keeps=keeps,
    )


def source_address(client: int, host: str) -> str | None:
    """Each client has a loopback address of its own, so that ports do not run out in a stall.

    None for another machine's server: there the system chooses.
    """
    if not host.startswith("127."):
        return None
    return f"127.{1 + client // 62_500}.{client // 250 % 250}.{1 + client % 250}"


DRIVER: Driver = OpenLoop()
