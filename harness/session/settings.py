"""The settings of a run, from what a person typed. Light: it is checked before anything heavy
is imported, so that a slip of the finger is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from harness.core.errors import LabError
from harness.core.options import checked_all
from harness.core.record import Arrivals, Design, Driver, Settings, UserClass
from harness.session import checks as check
from servers.options import parse_workload

MASTER = "0.0.0.0:5557"  # Locust's own port
WORKER_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of `labrun compare`, as typed; the defaults are the command line's. `servers`:
    those that the servers have, by their names among the settings."""

    rps: str = "2000"
    backends: str = "thread-per-request,thread-pool"
    rounds: int = 5
    duration_s: float = 5.0
    warmup_s: float = 1.0
    clients: int = 100
    timeout_s: float = 1.0
    arrivals: str = "poisson"
    driver: str = "open-loop"
    seed: int = 1
    out: str = "results"
    name: str = "compare"
    json: str | None = None
    plot: bool = False
    bare: bool = False
    python: str | None = None
    users: int | None = None
    user_class: str | None = None
    locust_workers: int | None = None
    target: str | None = None
    control: str | None = None
    expect_workers: int | None = None
    master: str | None = None
    worker_wait_s: float | None = None
    design: str = "trials"
    block_s: float | None = None
    servers: Mapping[str, object] = field(default_factory=dict)


BLOCK_S = 0.5  # of the design of blocks, unless asked for otherwise


def make_settings(options: CompareOptions) -> Settings:
    """The settings that the options ask for. Raises `LabError` for what cannot be."""
    rates = check.parse_rates(options.rps)
    for name, value in (("--python", options.python), ("--master", options.master)):
        check.text(name, value)
    check.between("--rounds", options.rounds, 1, 1000)
    check.between("--duration", options.duration_s, 0.5, 3600)
    check.between("--warmup", options.warmup_s, 0, 600)
    check.between("--clients", options.clients, 1, 10_000)
    check.between("--timeout", options.timeout_s, 0.01, 60)
    check.between("--seed", options.seed, 0, 2**31)
    servers = checked_all(options.servers)
    check.one_of("--arrivals", options.arrivals, Arrivals)
    check.one_of("--driver", options.driver, Driver)
    clients, by_locust = _users(options), options.driver == "locust"
    _check_target(options)
    check.one_of("--design", options.design, Design)
    in_blocks = options.design == "blocks"
    block_s = _block_s(options, servers["workload"]) if in_blocks else None
    duration_s = options.duration_s
    if block_s is not None:  # of whole blocks
        duration_s = max(1, round(duration_s / block_s)) * block_s
    elif options.block_s is not None:
        raise LabError("--block is for --design blocks; add it or leave it out")
    check.check_length(rates, duration_s)
    return Settings(
        rps=rates,
        backends=check.parse_backends(options.backends),
        rounds=options.rounds,
        duration_s=duration_s,
        warmup_s=options.warmup_s,
        clients=clients,
        timeout_s=options.timeout_s,
        # A user of Locust's sends at equal gaps, when it may.
        arrivals="constant" if by_locust else cast(Arrivals, options.arrivals),
        driver=cast(Driver, options.driver),
        rate_limit_per_s=rate_limit(rates, clients),
        seed=options.seed,
        python=options.python,
        user_class=cast(UserClass, options.user_class or "socket") if by_locust else None,
        locust_workers=(options.locust_workers or 0) if by_locust else None,
        target=options.target,
        control=options.control,
        expect_workers=options.expect_workers,
        master=(options.master or MASTER) if options.expect_workers else None,
        worker_wait_s=(options.worker_wait_s or WORKER_WAIT_S) if options.expect_workers else None,
        design=cast(Design, options.design),
        block_s=block_s,
        **servers,
    )


def design_options(
    design: str | None,
    rounds: int | None,
    duration_s: float | None,
    warmup_s: float | None,
    block_s: float | None,
    driver: str,
    target: str | None,
) -> dict[str, Any]:
    """What a design is made of, as typed or by its defaults: blocks, where they can be had."""
    if design is None:
        design = "trials"
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
    if options.driver != "open-loop":
        return f"--driver {options.driver}: blocks are for the open loop"
    if options.target is not None:
        return "--target: blocks need all servers on this machine"
    return None


def _block_s(options: CompareOptions, workload: str) -> float:
    """Seconds of a block. Raises `LabError` for one that cannot be."""
    why = in_turns(options)
    if why is not None:
        raise LabError(f"{why}; leave out --design blocks")
    block_s = BLOCK_S if options.block_s is None else options.block_s
    check.between("--block", block_s, 0.1, 60)
    check.between("--block", block_s, 0.1, options.duration_s)
    handler_s = parse_workload(workload).seconds
    if block_s < 3 * handler_s:
        raise LabError(
            f"--block {block_s:g}: a handler takes {handler_s:g} s, and a block must be as long as "
            f"three; take --block {3 * handler_s:g} or more, or --design trials"
        )
    return block_s


def _check_target(options: CompareOptions) -> None:
    """Raise `LabError` for what cannot be had of a server on another machine."""
    if (options.target is None) != (options.control is None):
        raise LabError(
            "--target and --control go together: where the server is, and where its control port"
        )
    for name, address in (("--target", options.target), ("--control", options.control)):
        if address is not None:
            check.host_and_port(name, address)
    if options.target is not None and options.python is not None:
        raise LabError("--python is for servers on this machine; leave out --target or --python")


def _users(options: CompareOptions) -> int:
    """How many clients there are; Locust's are users. Raises `LabError`."""
    given = [
        name
        for name, value in (
            ("--users", options.users),
            ("--user-class", options.user_class),
            ("--locust-workers", options.locust_workers),
            ("--expect-workers", options.expect_workers),
        )
        if value is not None
    ]
    if options.driver != "locust":
        if given:
            raise LabError(
                f"{' and '.join(given)}: only Locust has these; add --driver locust or leave it out"
            )
        return options.clients
    check.need_locust()
    if options.user_class is not None:
        check.one_of("--user-class", options.user_class, UserClass)
    if options.locust_workers is not None:
        check.between("--locust-workers", options.locust_workers, 0, 64)
    _check_expected(options)
    users = options.clients if options.users is None else options.users
    check.between("--users", users, 1, 10_000)
    for name, many in (
        ("--locust-workers", options.locust_workers),
        ("--expect-workers", options.expect_workers),
    ):
        if many is not None and users < many:
            raise LabError(
                f"{name} {many}: {users} users cannot be spread over that many; take fewer workers "
                "or more --users"
            )
    return users


def _check_expected(options: CompareOptions) -> None:
    """Raise `LabError` for workers of other machines that cannot be waited for."""
    if options.expect_workers is None:
        if options.master is not None or options.worker_wait_s is not None:
            raise LabError("--master and --worker-wait are for --expect-workers; add it")
        return
    check.between("--expect-workers", options.expect_workers, 1, 1000)
    check.host_and_port("--master", options.master or MASTER)
    check.between("--worker-wait", options.worker_wait_s or WORKER_WAIT_S, 1, 3600)
    if options.locust_workers:
        raise LabError(
            "--expect-workers waits for workers that others start and --locust-workers starts them "
            "here; take one of the two"
        )
    if options.target is None:
        raise LabError(
            "--expect-workers needs a server that other machines can reach: --target and --control"
        )


def rate_limit(rates: list[float], clients: int) -> int:
    """The server's limit for each client: its default, or five times what a client will send, so
    that the limiter does its work at every level and says no at none."""
    return max(1000, int(5 * max(rates) / clients))
