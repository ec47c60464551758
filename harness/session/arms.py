"""`--arm`: what is compared by a name of its own, and with options of its own."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core import checks
from harness.core.errors import LabError
from harness.core.record import ArmSettings
from servers.options import CHOSEN, DEFAULTS, OPTIONS, build_parser, given_options, plain

_LIKE = "write it like --arm 'wide=thread-pool --workers 64'"


def parse_arms(
    texts: Sequence[str], backends: Sequence[str], chosen: Mapping[str, Any]
) -> list[ArmSettings]:
    """An arm for each of `backends`, then for each text; none without texts. `chosen`: what the
    settings have for all servers. Raises `LabError`."""
    if not texts:
        return []
    named = [_parse(text, chosen) for text in texts]
    taken = set(backends)
    for arm in named:
        if arm.name in taken:
            raise LabError(f"--arm {arm.name}: two would have this name; give each one of its own")
        taken.add(arm.name)
    arms = [ArmSettings(name=name, backend=name) for name in backends] + named
    checks.not_too_many("--backends and --arm name", len(arms))
    return arms


def _parse(text: str, chosen: Mapping[str, Any]) -> ArmSettings:
    """`wide=thread-pool --workers 64`."""
    checks.text("--arm", text)
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals or not name or not rest.strip():
        raise LabError(f"--arm {text!r} is no name and backend; {_LIKE}")
    if len(name) > checks.LONGEST_NAME or not name.isprintable():
        raise LabError(f"--arm {name!r}: a name is up to {checks.LONGEST_NAME} letters; {_LIKE}")
    given = _given(name, rest)
    (backend,) = checks.known_backends([given.pop("backend")])
    own = [OPTIONS[option].flag for option in given if option not in CHOSEN]
    if own:
        raise LabError(f"--arm {name}: {own[0]} is for the lab to set; leave it out")
    usual = {option: plain(DEFAULTS[option]) for option in CHOSEN} | dict(chosen)
    options = {option: plain(value) for option, value in given.items()}
    return ArmSettings(
        name=name,
        backend=backend,
        options={option: value for option, value in options.items() if value != usual[option]},
    )


def _given(name: str, rest: str) -> dict[str, Any]:
    """An arm's options, parsed by the servers' own parser. Raises `LabError`."""
    parser = build_parser("labrun", exit_on_error=False)
    try:
        return given_options(parser, shlex.split(rest))
    except argparse.ArgumentError as error:
        raise LabError(f"--arm {name}: {error.argument_name}: {error.message}") from error
    except ValueError as error:
        raise LabError(f"--arm {name}: {error}; {_LIKE}") from error
