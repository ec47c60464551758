"""The servers in C++, built before the first trial: a server has no time for that as it starts."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.errors import LabError
from servers.native.build import NATIVE, CannotBuild, built


def build_native(backends: Iterable[str]) -> None:
    """Those of the backends that are in C++. Raises `LabError` where they cannot be built."""
    for name in dict.fromkeys(backends):
        if name in NATIVE:
            try:
                built(name)
            except CannotBuild as error:
                raise LabError(str(error)) from error
