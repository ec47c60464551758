"""The options of `labrun anatomy`, checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.session.settings import CompareOptions, make_settings


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
    given = [
        name
        for name, value in (
            ("--rounds", options.rounds),
            ("--duration", options.duration_s),
            ("--backends", options.backends),
            ("--lock-stacks", options.servers["lock_stacks"] or None),
            ("--server", options.any_server.get("server")),
            ("--url", options.any_server.get("url")),
            ("--servers", options.any_server.get("servers_file")),
            ("--request", options.any_server.get("request")),
        )
        if value is not None
    ]
    if options.run is not None and given:
        raise LabError(
            f"{' and '.join(given)} would need a new run, but {options.run} is read as it is; "
            "leave out one or the other"
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
