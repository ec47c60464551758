"""Changes to records as a stranger would make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]


def put(path: str, value: Any) -> Callable[[Record], None]:
    """Set one value by its path, with slashes; a number is a place in a list."""

    def change(record: Record) -> None:
        *parents, last = path.split("/")
        at: Any = record
        for name in parents:
            at = at[int(name) if name.isdigit() else name]
        at[int(last) if last.isdigit() else last] = value

    return change
