"""The settings of a run, from what a person typed. Light: it is checked before anything heavy
is imported, so that a slip of the finger is told at once."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from harness.core import checks
from harness.core.errors import LabError
from harness.core.options import checked_all
from harness.core.record import ArmSettings, Design, RequestSettings, ServerSettings, Settings
from harness.designs.stopping import FIGURES, LOOKS
from harness.drivers.driver import LoadOptions, choose, driver_of
from harness.session.request import RequestTyped, parse_request
from harness.session.servers import ServersTyped, parse_servers, request_table
from servers.native.build import NATIVE
from servers.options import (
    CHOSEN,
    DEFAULTS,
    KEEP_ALIVE,
    OPTIONS,
    PER_REQUEST,
    build_parser,
    given_options,
    parse_workload,
    plain,
)

TRACE_REQUESTS = 5000  # of a trial, at most
_NARROWEST = 0.001  # half-width that may be asked for
BLOCK_S = 0.5  # of the design of blocks, unless asked for otherwise
_ARM_LIKE = "write it like --arm 'wide=thread-pool --workers 64'"


@dataclass(frozen=True, slots=True)
class CompareOptions(LoadOptions):
    """The options of `labrun compare`, as typed; the defaults are the command line's. `servers`:
    those that the servers have, by their names among the settings. `arms`: `NAME=BACKEND OPTIONS`
    each; `backends` may then be empty."""

    rps: str = "2000"
    backends: str = "thread-per-request,thread-pool"
    rounds: int = 5
    duration_s: float = 5.0
    warmup_s: float = 1.0
    timeout_s: float = 1.0
    seed: int = 1
    out: str = "results"
    name: str = "compare"
    json: str | None = None
    plot: bool = False
    bare: bool = False
    live: bool = False
    python: str | None = None
    server_cpus: str | None = None
    generator_cpus: str | None = None
    pythons: str | None = None
    control: str | None = None
    design: str = "trials"
    block_s: float | None = None
    traced: bool = False
    servers: Mapping[str, object] = field(default_factory=dict)
    precision: str | None = None
    most: str | None = None
    arms: list[str] | None = None
    max_loss: list[str] | None = None
    least: list[str] | None = None
    server: list[str] | None = None
    url: list[str] | None = None
    servers_file: str | None = None
    cwd: str | None = None
    env: list[str] | None = None
    ready: str | None = None
    ready_timeout_s: float | None = None
    request: str | None = None
    header: list[str] | None = None
    body: str | None = None
    expect: str | None = None
    slow_clients: int = 0
    idle_connections: int = 0

    @property
    def names_servers(self) -> bool:
        """Whether a server of any kind is asked for."""
        return bool(self.server or self.url or self.servers_file)


def make_settings(options: CompareOptions) -> Settings:
    """The settings that the options ask for. Raises `LabError` for what cannot be."""
    rates = checks.parse_rates(options.rps)
    _check_values(options)
    servers = checked_all(options.servers)
    sent = choose(options)
    checks.one_of("--design", options.design, Design)
    limit = rate_limit(rates, sent["clients"])
    backends, arms = _named(options, {**servers, "rate_limit_per_s": limit})
    arms, pythons = _under_pythons(options, arms, backends)
    foreign, request = _foreign(options, [arm.name for arm in arms] or backends)
    arms += [ArmSettings(name=each.name, backend=each.name) for each in foreign if arms]
    _check_target(options, len(arms) or len(backends))
    _check_connections(options, servers["connections"], arms, backends)
    workloads = [servers["workload"], *(arm.options.get("workload", "ingest") for arm in arms)]
    _check_trace(options, backends, [arm.backend for arm in arms], [each.name for each in foreign],
                 pythons)  # fmt: skip
    block_s, duration_s = _block_and_duration_s(options, workloads)
    checks.check_length(rates, duration_s)
    return Settings(
        rps=rates,
        backends=[arm.backend for arm in arms] or backends + [each.name for each in foreign],
        rounds=options.rounds,
        duration_s=duration_s,
        warmup_s=options.warmup_s,
        timeout_s=options.timeout_s,
        rate_limit_per_s=limit,
        seed=options.seed,
        python=options.python,
        server_cpus=checks.cpus("--server-cpus", options.server_cpus),
        generator_cpus=checks.cpus("--generator-cpus", options.generator_cpus),
        pythons=pythons,
        target=options.target,
        control=options.control,
        design=cast(Design, options.design),
        block_s=block_s,
        arms=arms,
        servers=foreign,
        request=request,
        slow_clients=options.slow_clients,
        idle_connections=options.idle_connections,
        **sent,
        **servers,
        trace=TRACE_REQUESTS if options.traced else None,
        precision=_precision(options, len(arms) or len(backends) + len(foreign)),
        most_s=_most_s(options),
    )


def _named(
    options: CompareOptions, chosen: Mapping[str, Any]
) -> tuple[list[str], list[ArmSettings]]:
    """The backends that were named, and the arms where any has a name of its own. Raises
    `LabError`."""
    named_alone = bool(options.arms or options.names_servers) and not options.backends
    backends = [] if named_alone else checks.parse_backends(options.backends)
    return backends, parse_arms(options.arms or (), backends, chosen)


def _under_pythons(
    options: CompareOptions, arms: list[ArmSettings], backends: Sequence[str]
) -> tuple[list[ArmSettings], list[str]]:
    """The arms, each under each interpreter where these are compared, and the interpreter of each.
    Raises `LabError`."""
    if options.pythons is None:
        return arms, []
    for flag, given in (("--python", options.python), ("--target", options.target)):
        if given is not None:
            raise LabError(f"--pythons and {flag} do not go together; leave one out")
    if options.names_servers:
        raise LabError(
            "--pythons are for the lab's own servers; write the interpreter into the command of "
            "--server, or leave one of the two out"
        )
    from harness.session.pythons import parse_pythons, under_each  # which `--help` has no use for

    pythons = parse_pythons(options.pythons)
    named = arms or [ArmSettings(name=name, backend=name) for name in backends]
    return under_each(named, pythons)


def _check_values(options: CompareOptions) -> None:
    """Raise `LabError` for a single value that cannot be."""
    for name, value in (("--python", options.python), ("--master", options.master)):
        checks.text(name, value)
    checks.between("--rounds", options.rounds, 1, 1000)
    checks.between("--duration", options.duration_s, 0.5, 3600)
    checks.between("--warmup", options.warmup_s, 0, 600)
    checks.between("--clients", options.clients, 1, 10_000)
    checks.between("--timeout", options.timeout_s, 0.01, 60)
    checks.between("--seed", options.seed, 0, 2**31)
    checks.between("--slow-clients", options.slow_clients, 0, 10_000)
    checks.between("--idle-connections", options.idle_connections, 0, 10_000)


def _foreign(
    options: CompareOptions, others: Sequence[str]
) -> tuple[list[ServerSettings], RequestSettings | None]:
    """Servers of any kind, and the request. `others`: the names of the other arms. Raises
    `LabError`."""
    typed = ServersTyped(
        server=options.server or (),
        url=options.url or (),
        file=options.servers_file,
        folder=options.cwd,
        environment=options.env or (),
        ready=options.ready,
        ready_timeout_s=options.ready_timeout_s,
    )
    found = parse_servers(typed, others)
    checks.not_too_many("the servers and backends are", len(found) + len(others))
    asked = RequestTyped(options.request, options.header or (), options.body, options.expect)
    request = parse_request(asked, None if not found else request_table(typed))
    if not found and request is None:
        return found, None
    flag = "--server" if found else "--request"
    if not driver_of(options.driver).any_server:
        raise LabError(f"{flag} and --driver {options.driver} do not go together; leave one out")
    if options.target is not None:
        raise LabError(f"{flag} and --target do not go together; leave one out")
    return found, request


def _check_trace(
    options: CompareOptions,
    backends: Sequence[str],
    arms: Sequence[str],
    foreign: Sequence[str],
    pythons: Sequence[object],
) -> None:
    """Raise `LabError` where not every server can keep a trace that fits the generator's rows."""
    if not options.traced:
        return
    native = [n for n in (*backends, *arms) if n.startswith("native-") or n == "prefork"]
    if native or foreign:
        raise LabError(
            "--trace is kept by this lab's servers of one process in Python alone, and "
            f"{[*native, *foreign][0]} is another; leave out one of the two"
        )
    for flag, asked in (
        ("--connections keep-alive", options.servers.get("connections") == KEEP_ALIVE),
        ("--pythons", len(pythons) > 0),
        (f"--driver {options.driver}", not driver_of(options.driver).any_server),
        ("--target", options.target is not None),
        ("--design blocks", options.design == "blocks"),
        ("--max-loss and --min", bool(options.max_loss or options.least)),
        ("--slow-clients", options.slow_clients > 0),
        ("--idle-connections", options.idle_connections > 0),
    ):
        if asked:
            raise LabError(f"--trace and {flag} do not go together; leave one of the two out")


def _precision(options: CompareOptions, arms: int) -> dict[str, float]:
    """Half-widths by name, of `p99=10%,cpu=2%`. Raises `LabError`."""
    if options.precision is None:
        return {}
    if options.design != "blocks":
        why = in_turns(options)
        if why is not None:
            raise LabError(f"{why}, and --precision is for blocks; leave one of the two out")
        raise LabError("--precision is for --design blocks; add it or leave it out")
    if arms < 2:
        raise LabError("--precision is about ratios, and one backend alone has none; name two or "
                       "more, or leave it out")  # fmt: skip
    if options.rounds != LOOKS[0]:
        raise LabError(f"--precision decides how many rounds there are; leave out --rounds "
                       f"{options.rounds}")  # fmt: skip
    found: dict[str, float] = {}
    for part in options.precision.split(","):
        name, _, text = part.strip().partition("=")
        if name not in FIGURES:
            raise LabError(
                f"--precision {options.precision!r}: there is no {name!r}; take "
                f"{', '.join(FIGURES)}, like p99=10%,cpu=2%"
            )
        if name in found:
            raise LabError(f"--precision {options.precision!r} names {name} twice; name it once")
        found[name] = checks.parsed(f"--precision {name}", text, checks.parse_share)
        if not _NARROWEST <= found[name] <= 1:
            raise LabError(f"--precision {name}={text}: take from 0.1% to 100%")
    return found


def _most_s(options: CompareOptions) -> float | None:
    if options.precision is None:
        if options.most is not None:
            raise LabError("--most is for --precision; add it or leave it out")
        return None
    most_s = checks.parsed("--most", options.most or "10m", checks.parse_time)
    checks.between("--most", most_s, 30, 86_400)
    return most_s


def design_options(
    design: str | None,
    rounds: int | None,
    duration_s: float | None,
    warmup_s: float | None,
    block_s: float | None,
    driver: str,
    target: str | None,
    trace: bool = False,
) -> dict[str, Any]:
    """Rounds, durations and block of a design, as typed or by default: blocks where possible. A
    `trace` is looked at and not compared: one short trial of each."""
    if trace and design is None:
        return {
            "design": "trials",
            "rounds": 1 if rounds is None else rounds,
            "duration_s": 1.0 if duration_s is None else duration_s,
            "warmup_s": 1.0 if warmup_s is None else warmup_s,
            "block_s": block_s,
        }
    if design is None:
        possible = in_turns(CompareOptions(driver=driver, target=target)) is None
        design = "blocks" if possible else "trials"
    blocks = design == "blocks"
    return {
        "design": design,
        "rounds": (8 if blocks else 5) if rounds is None else rounds,
        "duration_s": (3.5 if blocks else 5.0) if duration_s is None else duration_s,
        "warmup_s": (0.7 if blocks else 1.0) if warmup_s is None else warmup_s,
        "block_s": block_s,
    }


def in_turns(options: CompareOptions) -> str | None:
    """Why the arms cannot be loaded in turns, in words; None where they can."""
    if not driver_of(options.driver).in_turns:
        return f"--driver {options.driver}: blocks are for the open loop"
    if options.target is not None and "," not in options.target:
        return ("--target: blocks need a server for each backend; name them all, with commas, and "
                "--control alike")  # fmt: skip
    return None


def _block_and_duration_s(
    options: CompareOptions, workloads: Sequence[str]
) -> tuple[float | None, float]:
    """How long a block is, None in whole trials; and the duration, which is of whole blocks."""
    if options.design == "blocks":
        block_s = _block_s(options, workloads)
        return block_s, max(1, round(options.duration_s / block_s)) * block_s
    if options.block_s is not None:
        raise LabError("--block is for --design blocks; add it or leave it out")
    return None, options.duration_s


def _block_s(options: CompareOptions, workloads: Sequence[str]) -> float:
    """Seconds of a block. Raises `LabError` for one that cannot be."""
    why = in_turns(options)
    if why is not None:
        raise LabError(f"{why}; leave out --design blocks")
    block_s = BLOCK_S if options.block_s is None else options.block_s
    checks.between("--block", block_s, 0.1, 60)
    checks.between("--block", block_s, 0.1, options.duration_s)
    handler_s = max(parse_workload(workload).seconds for workload in workloads)
    if block_s < 3 * handler_s:
        raise LabError(
            f"--block {block_s:g}: a handler takes {handler_s:g} s, and a block must be as long as "
            f"three; take --block {3 * handler_s:g} or more, or --design trials"
        )
    return block_s


def _check_connections(
    options: CompareOptions, connections: str, arms: Sequence[ArmSettings], backends: Sequence[str]
) -> None:
    """Raise `LabError` where connections cannot stay."""
    for arm in arms:
        if arm.options.get("connections") == KEEP_ALIVE and connections != KEEP_ALIVE:
            raise LabError(
                f"--arm {arm.name}: a connection stays where its client wants it to as well, so "
                "--connections keep-alive is for the whole run; give it to labrun"
            )
    if connections != KEEP_ALIVE:
        return
    if not driver_of(options.driver).keeps_connections:
        raise LabError(
            f"--connections keep-alive and --driver {options.driver} do not go together, since "
            "each of its requests has a connection of its own; leave one out"
        )
    keeping = [arm.backend for arm in arms if arm.options.get("connections") != PER_REQUEST]
    for backend in keeping if arms else backends:
        if backend in NATIVE:
            raise LabError(
                f"{backend} closes each connection after its answer; leave out --connections "
                "keep-alive, or take a backend in Python"
            )


def _check_target(options: CompareOptions, arms: int) -> None:
    """Raise `LabError` for what cannot be had of servers on another machine."""
    if (options.target is None) != (options.control is None):
        raise LabError(
            "--target and --control go together: where the server is, and where its control port"
        )
    if options.target is None or options.control is None:
        return
    if options.server_cpus is not None:
        raise LabError("--server-cpus is for servers on this machine; leave it out, and start the "
                       "others with --cpus")  # fmt: skip
    if options.python is not None:
        raise LabError("--python is for servers on this machine; leave out --target or --python")
    counts = []
    for name, text in (("--target", options.target), ("--control", options.control)):
        addresses = text.split(",")
        for address in addresses:
            checks.host_and_port(name, address)
            if addresses.count(address) > 1:
                raise LabError(f"{name} names {address} twice; each server has one of its own")
        counts.append(len(addresses))
    if counts[0] != counts[1]:
        raise LabError(f"--target names {counts[0]} and --control {counts[1]}; name the control "
                       "port of each server, in the same order")  # fmt: skip
    if counts[0] not in (1, arms):
        raise LabError(f"--target names {counts[0]} and {arms} are compared; name one server for "
                       "all, or one for each")  # fmt: skip


def rate_limit(rates: list[float], clients: int) -> int:
    """The server's limit for each client: its default, or five times what a client will send, so
    that the limiter does its work at every level and says no at none."""
    return max(1000, int(5 * max(rates) / clients))


def parse_arms(
    texts: Sequence[str], backends: Sequence[str], chosen: Mapping[str, Any]
) -> list[ArmSettings]:
    """An arm for each of `backends`, then for each text; none without texts. `chosen`: what the
    settings have for all servers. Raises `LabError`."""
    if not texts:
        return []
    named = [_arm(text, chosen) for text in texts]
    taken = set(backends)
    for arm in named:
        if arm.name in taken:
            raise LabError(f"--arm {arm.name}: two would have this name; give each one of its own")
        taken.add(arm.name)
    arms = [ArmSettings(name=name, backend=name) for name in backends] + named
    checks.not_too_many("--backends and --arm name", len(arms))
    return arms


def _arm(text: str, chosen: Mapping[str, Any]) -> ArmSettings:
    """`wide=thread-pool --workers 64`."""
    checks.text("--arm", text)
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals or not name or not rest.strip():
        raise LabError(f"--arm {text!r} is no name and backend; {_ARM_LIKE}")
    if len(name) > checks.LONGEST_NAME or not name.isprintable():
        raise LabError(
            f"--arm {name!r}: a name is up to {checks.LONGEST_NAME} letters; {_ARM_LIKE}"
        )
    given = _options_of(name, rest)
    (backend,) = checks.known_backends([given.pop("backend")])
    own = [OPTIONS[o].flag for o in given if o not in CHOSEN or o == "trace"]
    if own:
        raise LabError(f"--arm {name}: {own[0]} is for the lab to set; leave it out")
    usual = {option: plain(DEFAULTS[option]) for option in CHOSEN} | dict(chosen)
    options = {option: plain(value) for option, value in given.items()}
    return ArmSettings(
        name=name,
        backend=backend,
        options={option: value for option, value in options.items() if value != usual[option]},
    )


def _options_of(name: str, rest: str) -> dict[str, Any]:
    """An arm's options, parsed by the servers' own parser. Raises `LabError`."""
    parser = build_parser("labrun", exit_on_error=False)
    try:
        return given_options(parser, shlex.split(rest))
    except argparse.ArgumentError as error:
        raise LabError(f"--arm {name}: {error.argument_name}: {error.message}") from error
    except ValueError as error:
        raise LabError(f"--arm {name}: {error}; {_ARM_LIKE}") from error
