"""The options of `labrun claims`, checked before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.session.settings import CompareOptions, make_settings

_LEVELS, _EXPLORED_LEVELS = "500,1000,2000,5000,10000", "2000,5000"


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
    given = [
        name
        for name, value in (
            ("--rps", options.rps),
            ("--rounds", options.rounds),
            ("--duration", options.duration_s),
        )
        if value is not None
    ]
    if options.run is not None and not options.explore and given:
        raise LabError(
            f"{' and '.join(given)} would need a new run, but {options.run} is judged as it is; "
            "leave out one or the other"
        )
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
