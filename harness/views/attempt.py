"""Drawing that may fail, without taking along what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness.core.errors import LabError

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something could not be drawn."""

    error: Exception

    def __str__(self) -> str:
        """In a line; with its kind, where it is nothing that a person can mend."""
        error = self.error
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        told = " ".join(str(error).split())
        return told if isinstance(error, LabError) else f"{type(error).__name__}: {told}"


def attempt(make: Callable[[], Made]) -> Made | Failure:
    """The result of `make`, or the reason why it failed.

    The one place that catches whatever is raised, and only around pictures and the report: they
    come from results that are saved and shown, and no fault in them may cost these. That whoever
    read our output has gone is for the command to notice.
    """
    try:
        return make()
    except BrokenPipeError:
        raise
    except Exception as error:
        return Failure(error)
