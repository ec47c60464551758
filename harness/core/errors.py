"""Errors that are told to a person in one sentence."""

from __future__ import annotations


class LabError(Exception):
    """Something that the user can mend: one sentence that says what was wrong and what to do.

    Caught once, in the command's main, which prints it and exits with status 2.
    """


class ServerRefused(LabError):
    """A server that ended, or could not be driven, before anything was asked of it. `slot`: which
    of a run's; None where it was none's."""

    slot: int | None = None
