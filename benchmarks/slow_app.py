"""The peers' job by a handler that waits first, `WORK_S` seconds: for `benchmarks.peer_faults`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from harness.peers import apps

_WORK_S = float(os.environ.get("WORK_S", "0"))


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The job for a WSGI server."""
    time.sleep(_WORK_S)
    return apps.wsgi(environ, start)
