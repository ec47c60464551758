"""How many file descriptors this process, and what it starts, may have."""

from __future__ import annotations

import resource

from harness.core.errors import LabError

_LEAST_DESCRIPTORS = 512


def raise_descriptor_limit() -> int:
    """Raise the soft RLIMIT_NOFILE to the hard one; how many descriptors there are.

    Raises `LabError` when there are too few for any load worth measuring.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _LEAST_DESCRIPTORS:
        raise LabError(
            f"only {hard} file descriptors are allowed and a run needs at least "
            f"{_LEAST_DESCRIPTORS}; raise the hard limit (ulimit -Hn 4096, or LimitNOFILE)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
