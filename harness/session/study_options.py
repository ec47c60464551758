"""The settings of a study that is no plain comparison, from what a person typed: the two searches,
an anatomy, the claims. Light, like `harness.session.settings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from harness.core import checks
from harness.core.errors import LabError
from harness.core.record import Condition, Settings, Vary
from harness.core.wording import listed
from harness.session.settings import CompareOptions, make_settings
from harness.studies.capacity.slo import check_against_timeout, parse_slo
from servers.options import PER_REQUEST

# The highest rate that a search may try: the server's rate limit is set for it.
CAPACITY_RPS = "40000"
_SHORTEST_S, _LONGEST_S = 20.0, 86_400.0
_LOADS: dict[str, str] = {
    "io": "250,500,1000,2000,3000",
    "cpu": "125,250,500,1000,2000",
    "workers": "100,200,400,800,1600",
}
_LEVELS, _EXPLORED_LEVELS = "500,1000,2000,5000,10000", "2000,5000"


def capacity_options(
    options: CompareOptions, slo: str, budget_s: float
) -> tuple[Settings, list[Condition]]:
    """The settings and the objective of a capacity search. Raises `LabError`."""
    settings = make_settings(options)
    conditions = parse_slo(slo)
    check_against_timeout(conditions, settings.timeout_s)
    checks.between("--budget", budget_s, _SHORTEST_S, _LONGEST_S)
    check_budget(settings, budget_s, len(settings.backends))
    return settings, conditions


def crossover_loads(vary: str) -> str:
    """The loads at which a search is made unless others are named. Raises `LabError`."""
    checks.one_of("--vary", vary, Vary)
    return _LOADS[vary]


def crossover_options(
    options: CompareOptions, vary: str, budget_s: float, slo: str | None = None
) -> tuple[Settings, Vary, list[Condition]]:
    """The settings of a crossover search, what is varied, and what the contender must meet (none:
    it is held against the baseline). Raises `LabError`."""
    checks.one_of("--vary", vary, Vary)
    settings = make_settings(options)
    if len(settings.backends) != 2 or len(set(settings.backends)) != 2:
        raise LabError(
            f"--backends {options.backends}: places are changed between two different backends; "
            "name two"
        )
    _check_any_server(settings, vary)
    if vary == "workers" and not settings.workload.startswith("io:"):
        raise LabError(
            f"--vary workers with --workload {settings.workload}: the number of workers decides "
            "where a handler waits; take io:40ms or the like"
        )
    checks.between("--budget", budget_s, _SHORTEST_S, _LONGEST_S)
    check_budget(settings, budget_s, 2)
    if vary != "workers":  # it is each trial's own
        settings = msgspec.structs.replace(settings, workload="ingest")
    conditions = [] if slo is None else parse_slo(slo)
    check_against_timeout(conditions, settings.timeout_s)
    return settings, cast(Vary, vary), conditions


def _check_any_server(settings: Settings, vary: str) -> None:
    """Raise `LabError` where nobody could vary anything of a server of any kind."""
    if not settings.servers:
        return
    if vary != "workers":
        raise LabError(
            f"--vary {vary} changes what our own handlers do; with --server take --vary workers "
            "and write {workers} in the command"
        )
    contender = next((s for s in settings.servers if s.name == settings.backends[1]), None)
    varied = contender is None or any("{workers}" in word for word in contender.command)
    if not varied:
        raise LabError(
            f"--server {settings.backends[1]}: its workers are varied; write {{workers}} in its "
            "command where their number goes"
        )


def check_budget(settings: Settings, budget_s: float, trials: int) -> None:
    """Raise `LabError` when not even a few trials of each backend fit in."""
    least_s = 3 * trials * (settings.warmup_s + settings.duration_s + 1)
    if budget_s < least_s:
        raise LabError(
            f"--budget {budget_s:g}: three trials of each backend take about {least_s:.0f} s; "
            "raise it or shorten --duration"
        )


@dataclass(frozen=True, slots=True)
class AnatomyOptions:
    """The options as typed; None: not given."""

    run: str | None
    rps: str | None
    rounds: int | None
    duration_s: float | None
    backends: str | None
    servers: Mapping[str, object]
    out: str
    name: str
    json: str | None
    any_server: Mapping[str, Any] = field(default_factory=dict)  # by the names of `CompareOptions`


def anatomy_settings(options: AnatomyOptions) -> Settings:
    """The settings of the run that is to be made. Raises `LabError` for what cannot be."""
    _only_read(
        options.run,
        "read",
        {
            "--rounds": options.rounds,
            "--duration": options.duration_s,
            "--backends": options.backends,
            "--lock-stacks": options.servers["lock_stacks"] or None,
            "--server": options.any_server.get("server"),
            "--url": options.any_server.get("url"),
            "--servers": options.any_server.get("servers_file"),
            "--request": options.any_server.get("request"),
        },
    )
    default = CompareOptions()
    named = CompareOptions(**options.any_server).names_servers
    settings = make_settings(
        CompareOptions(
            rps=default.rps if options.rps is None else options.rps,
            backends=options.backends or ("" if named else default.backends),
            rounds=default.rounds if options.rounds is None else options.rounds,
            duration_s=2.0 if options.duration_s is None else options.duration_s,
            warmup_s=0.5,
            servers=options.servers,
            out=options.out,
            name=options.name,
            json=options.json,
            **options.any_server,
        )
    )
    if len(settings.rps) != 1:
        raise LabError(
            f"--rps {options.rps}: an anatomy is of one rate; name one, or make a run "
            "(labrun compare) and name its folder"
        )
    return settings


@dataclass(frozen=True, slots=True)
class ClaimsOptions:
    """The options as typed; None: not given. `native`: measure the servers in C++ too, which a run
    that is made has unless told otherwise, and one that is there only if asked for."""

    run: str | None
    explore: bool
    rps: str | None
    rounds: int | None
    duration_s: float | None
    out: str
    name: str
    json: str | None
    native: bool | None = None


def claims_settings(options: ClaimsOptions) -> Settings:
    """The settings of the run that is to be made. Raises `LabError` for what cannot be."""
    if not options.explore:
        given = {
            "--rps": options.rps, "--rounds": options.rounds, "--duration": options.duration_s,
        }  # fmt: skip
        _only_read(options.run, "judged", given)
    levels = _EXPLORED_LEVELS if options.explore else _LEVELS
    return make_settings(
        CompareOptions(
            rps=levels if options.rps is None else options.rps,
            rounds=5 if options.rounds is None else options.rounds,
            duration_s=_duration_s(options),
            warmup_s=0.3 if options.explore else 0.5,
            out=options.out,
            name=options.name,
            json=options.json,
        )
    )


def _duration_s(options: ClaimsOptions) -> float:
    if options.duration_s is not None:
        return options.duration_s
    return 1.0 if options.explore else 1.5


def _only_read(run: str | None, how: str, given: Mapping[str, object]) -> None:
    """Raise `LabError` where a run that is there was named, and an option that needs a new one."""
    named = [name for name, value in given.items() if value is not None]
    if run is not None and named:
        raise LabError(
            f"{' and '.join(named)} would need a new run, but {run} is {how} as it is; "
            "leave out one or the other"
        )


# What `labrun compare --all` chooses itself.
_CHOSEN_BY_ALL = (
    "arms", "precision", "most", "driver", "target", "server", "url", "servers_file", "request",
    "max_loss", "least", "plot", "slow_clients", "idle_connections", "warmup_s", "pythons",
    "traced",
)  # fmt: skip


def all_options(
    rps: str, sweep: bool, backends: str | None, typed: Mapping[str, Any], design: Sequence[str]
) -> CompareOptions:
    """The options of `labrun compare --all`. Raises `LabError` for what that chooses itself."""
    from servers.registry import BUILT_IN  # which `--help` has no use for

    fields = CompareOptions.__dataclass_fields__
    given = {
        name: typed[name]
        for name in (*design, *_CHOSEN_BY_ALL)
        if typed.get(name) not in (None, [], fields[name].default)
        or (name in design and typed.get(name) is not None)
    }
    named = ["--" + name.removesuffix("_s").replace("_", "-") for name in given]
    named += ["--sweep"] * sweep + ["--backends"] * (backends is not None)
    kept = typed.get("servers", {}).get("connections", PER_REQUEST)
    named += ["--connections"] * (kept != PER_REQUEST)
    if named:
        flags = {
            "--arms": "--arm",
            "--least": "--min",
            "--servers-file": "--servers",
            "--traced": "--trace",
        }
        raise LabError(
            f"--all chooses {listed([flags.get(name, name) for name in named])} itself; leave "
            f"{'it' if len(named) == 1 else 'them'} out, or leave out --all"
        )
    if "," in rps:
        raise LabError(f"--all measures at one rate, not at --rps {rps}; name one")
    rest = {name: value for name, value in typed.items() if name not in design}
    rest = {name: value for name, value in rest.items() if value is not None}
    rest.pop("warmup_s", None)
    name = rest.pop("name", "compare")
    return CompareOptions(
        rps=rps,
        backends=",".join(BUILT_IN),
        name="all" if name == "compare" else name,
        **rest,
    )
