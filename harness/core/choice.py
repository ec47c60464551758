"""How one of the settings is called and asked for: declared with its field of `Settings`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """`words`: how a heading names it where it is other than usual, `{}` being the value. `usual`:
    its default, unless it is an option of the servers, which have it themselves.

    Of an option of the servers: `help`, why one would change it, makes it an option of `labrun`
    too. `lowest`: where the lab takes less than the servers would.
    """

    words: str
    help: str | None = None
    usual: object = None
    lowest: float | None = None
