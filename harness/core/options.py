"""The options of the servers as the lab has them: from `servers.options`, where each is declared,
and from the field of `Settings` of the same name, which says why one would change it. And what was
chosen, in the words of headings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_type_hints

from harness.core.checks import between
from harness.core.errors import LabError
from harness.core.record import Choice, Settings
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
    """A setting, or an option of an arm's server, as a heading names it: `32 workers`."""
    if name not in CHOICES:
        plainly = f"{value:g}" if isinstance(value, float) else value
        return CHOSEN[name].flag if value is True else f"{CHOSEN[name].flag} {plainly}"
    return CHOICES[name].words.format(size_text(value) if name.endswith("_bytes") else value)


def unusual(
    settings: Settings, but: Collection[str] = (), slots: Collection[int] | None = None
) -> list[str]:
    """Settings that differ from the defaults, in the words of headings, and the arms. `but`:
    settings that are named anyway; `slots`: which arms (None: all)."""
    told = [
        in_words(name, value)
        for name in CHOICES
        if name not in but and (name in ASKED or name not in CHOSEN)
        if (value := getattr(settings, name)) != usual(name)
    ]
    arms = "; ".join(_arms_in_words(settings, slots))
    return [*told, arms] if arms else told


def beside(settings: Settings, but: Collection[str] = ()) -> str:
    """The same for a sentence: ` (32 workers, timeout 0.2 s)`, or nothing."""
    told = ", ".join(unusual(settings, but))
    return f" ({told})" if told else ""


def conditions(
    settings: Settings,
    slots: Collection[int] | None = None,
    named: tuple[str, ...] = ("clients", "arrivals", "driver"),
) -> list[str]:
    """Who sends how: what is `named`, whatever it is, and what else was chosen otherwise than
    usual."""
    return [in_words(name, getattr(settings, name)) for name in named] + unusual(
        settings, named, slots
    )


def _arms_in_words(settings: Settings, slots: Collection[int] | None) -> list[str]:
    """Describes arms that are not just a backend: `wide is thread-pool with 64 workers`."""
    told = []
    for slot, arm in enumerate(settings.arms):
        if slots is not None and slot not in slots:
            continue
        alike = [other for other in settings.arms if other.backend == arm.backend]
        names = dict.fromkeys(name for other in alike for name in other.options)
        there = {name: arm.options.get(name, _of_all(settings, name)) for name in names}
        words = " and ".join(
            in_words(name, value)
            for name, value in there.items()
            if value is not None and value is not False
        )
        if settings.pythons and not words:
            continue  # its name says which backend it is, or all are one
        if arm.name != arm.backend:
            told.append(f"{arm.name} is {arm.backend}" + (f" with {words}" if words else ""))
        elif words:
            told.append(f"{arm.name} has {words}")
    if settings.pythons and not told and len(set(settings.backends)) == 1:
        return [f"{settings.backends[0]} under each"]
    return told


def _of_all(settings: Settings, name: str) -> Any:
    """The value that a server has where its arm says nothing of it."""
    return getattr(settings, name, plain(DEFAULTS[name]))


def as_typed(name: str) -> Any:
    """The default of an option of the servers as a person would type it."""
    value = usual(name)
    if name.endswith("_bytes"):
        return size_text(value)
    return f"{value:g}s" if name.endswith("_s") and typed_as(name) is str else value


def typed_as(name: str) -> type:
    """The option as a person types it: with a number, a text, or bare."""
    match CHOSEN[name].read:
        case None:
            return bool
        case WholeNumber():
            return int
        case Seconds():
            return float
    return str


def checked(name: str, value: object) -> Any:
    """A typed option of the servers, as the settings have it. Raises `LabError`."""
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


def can_be(name: str, value: object) -> bool:
    """Whether an option of an arm's server can be that."""
    if name not in CHOSEN:
        return False
    read = CHOSEN[name].read
    if read is None or isinstance(value, bool):
        return read is None and value is True
    try:
        return bool(plain(read(str(value))) == value)
    except ValueError:
        return False


def checked_all(typed: Mapping[str, object]) -> dict[str, Any]:
    """The settings of all options of the servers, by what was typed or as usual."""
    return {name: checked(name, typed.get(name, usual(name))) for name in ASKED}
