"""The options of the servers as the lab has them: from `servers.options`, where each is declared,
and from the field of `Settings` of the same name, which says why one would change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from harness.core.checks import between
from harness.core.choice import Choice
from harness.core.errors import LabError
from harness.core.record import Settings
from servers.options import CHOSEN, DEFAULTS, Seconds, WholeNumber, plain, size_text

CHOICES: dict[str, Choice] = {
    name: choice
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    for choice in getattr(hint, "__metadata__", ())
    if isinstance(choice, Choice)
}
# What a run's settings say of its servers, and what labrun can be asked for of it.
SERVED = [name for name in CHOICES if name in CHOSEN]
ASKED = [name for name in SERVED if CHOICES[name].help is not None]


def usual(name: str) -> Any:
    """The default of a setting."""
    return plain(DEFAULTS[name]) if name in CHOSEN else CHOICES[name].usual


def in_words(name: str, value: Any) -> str:
    """A setting as a heading names it: `32 workers`."""
    return CHOICES[name].words.format(size_text(value) if name.endswith("_bytes") else value)


def as_typed(name: str) -> Any:
    """The default of an option of the servers as a person would type it."""
    return size_text(usual(name)) if name.endswith("_bytes") else usual(name)


def typed_as(name: str) -> type:
    """What a person types for it: a number, a text, or the bare option."""
    match CHOSEN[name].read:
        case None:
            return bool
        case WholeNumber():
            return int
        case Seconds():
            return float
    return str


def checked(name: str, value: object) -> Any:
    """What was typed for an option of the servers, as the settings have it. Raises `LabError`."""
    option, lowest = CHOSEN[name], CHOICES[name].lowest
    if value is None or option.read is None:
        return value
    if isinstance(option.read, WholeNumber | Seconds) and isinstance(value, int | float):
        least = option.read.lowest if lowest is None else lowest
        between(option.flag, value, least, option.read.highest)
        return value
    try:
        return plain(option.read(str(value)))
    except ValueError as error:
        said = str(error)
        raise LabError(
            said if said.startswith(option.flag) else f"{option.flag}: {said}"
        ) from error


def checked_all(typed: Mapping[str, object]) -> dict[str, Any]:
    """The settings of all options of the servers, by what was typed or as usual."""
    return {name: checked(name, typed.get(name, usual(name))) for name in ASKED}
