"""`docs/api.md`, from the docstrings: `python -m harness.course.api > docs/api.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from harness import lab

_HEAD = """\
# The lab from Python

Generated from the docstrings by `python -m harness.course.api > docs/api.md`; a test compares.

"""


def text() -> str:
    """The page."""
    return _HEAD + "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from (inspect.getdoc(lab) or "", "")
    for name in lab.__all__:
        thing = getattr(lab, name)
        if inspect.isclass(thing):
            yield from _class(name, thing)
        elif inspect.isfunction(thing):
            yield from _function(f"{name}{inspect.signature(thing)}", thing, "##")
        else:
            yield from (f"## `{name}`", "", f"`{thing!r}`", "")


def _class(name: str, thing: type) -> Iterator[str]:
    yield from (f"## `{name}`", "", inspect.getdoc(thing) or "", "")
    if thing.__module__ != lab.__name__:
        return
    for member, value in vars(thing).items():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            yield from _function(member, value.fget, "###")
        elif inspect.isfunction(value):
            yield from _function(f"{member}{inspect.signature(value)}", value, "###")


def _function(head: str, thing: object, level: str) -> Iterator[str]:
    yield from (f"{level} `{head}`".replace("(self, ", "(").replace("(self)", "()"), "")
    yield from (inspect.getdoc(thing) or "", "")


if __name__ == "__main__":
    sys.stdout.write(text())
