"""`--pythons A,B`: every arm once under each interpreter, by a name that says which."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.core import checks
from harness.core.errors import LabError
from harness.core.record import ArmSettings, Interpreter
from harness.targets.interpreter import examine_python
from servers.native.build import NATIVE

_OPTION = "--pythons"


def parse_pythons(text: str) -> list[str]:
    """The interpreters as named, the baseline first. Raises `LabError`."""
    checks.text(_OPTION, text)
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise LabError(f"{_OPTION} {text!r} has an empty name; write it like {_OPTION} 3.11,3.13")
    if len(names) == 1:
        raise LabError(
            f"{_OPTION} {text} names one interpreter, and a comparison needs two or more; add "
            f"another, or take --python {text}"
        )
    return names


def under_each(
    arms: Sequence[ArmSettings], pythons: Sequence[str]
) -> tuple[list[ArmSettings], list[str]]:
    """Each arm under each interpreter, and the interpreters of these. Raises `LabError`."""
    for arm in arms:
        if arm.backend in NATIVE:
            raise LabError(
                f"{arm.backend} runs in no Python, so {_OPTION} changes nothing of it; leave one "
                "of the two out"
            )
    checks.not_too_many(f"the backends under {_OPTION} are", len(arms) * len(pythons))
    examined = {typed: examine_python(typed, _OPTION) for typed in dict.fromkeys(pythons)}
    called = apart([python_name(examined[typed]) for typed in pythons])
    found = [
        msgspec.structs.replace(arm, name=name if len(arms) == 1 else f"{arm.name} on {name}")
        for arm in arms
        for name in called
    ]
    return found, [*pythons] * len(arms)


def python_name(interpreter: Interpreter) -> str:
    """`Python 3.13.0`, or `Python 3.14.0t` of a build without the GIL."""
    name = interpreter.version.replace("CPython ", "Python ")
    return name + ("t" if interpreter.free_threaded_build else "")


def apart(names: Sequence[str]) -> list[str]:
    """The names, with a number each where several are equal."""
    return [
        f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]
