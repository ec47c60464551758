"""Memory that is resident whatever happens."""

from __future__ import annotations

import ctypes
import os

_MCL_CURRENT, _MCL_FUTURE = 1, 2


class CannotRun(Exception):
    """An option asks for what this machine does not allow."""


def lock_memory() -> None:
    """mlockall: every page, of stacks to come too, is resident. Raises `CannotRun`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise CannotRun(
            f"--lock-stacks: mlockall failed ({reason}); run as root or raise `ulimit -l`"
        )
