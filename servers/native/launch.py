"""From the options of `python -m servers` to a server in C++ in this process's place."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

from servers.native.build import CannotBuild, built
from servers.options import OPTIONS, PER_REQUEST, ServerOptions, plain, reported


def launch(options: ServerOptions) -> NoReturn:
    """Become the server: the same process goes on as another program. Raises `CannotBuild`."""
    if options.switch_interval_s is not None:
        raise CannotBuild(
            f"{options.backend} has no interpreter whose threads take turns; leave out "
            "--switch-interval"
        )
    if options.queue_policy != "fifo":
        raise CannotBuild(
            f"{options.backend} serves the oldest first; leave out "
            f"--queue-policy {options.queue_policy}, or take thread-pool"
        )
    if options.connections != PER_REQUEST:
        raise CannotBuild(
            f"{options.backend} closes each connection after its answer; leave out "
            f"--connections {options.connections}, or take a backend in Python"
        )
    if options.trace is not None:
        raise CannotBuild(f"{options.backend} keeps no trace; leave out --trace {options.trace}")
    program = built(options.backend)
    os.execv(program, [str(program), *arguments(options)])


def arguments(options: ServerOptions) -> list[str]:
    """`name=value` for all that the program is to know."""
    told: dict[str, Any] = {name: getattr(options, name) for name in OPTIONS}
    told |= {
        "backend": options.backend,
        "python": sys.executable,
        "request_deadline_ns": int(options.request_deadline_s * 1e9),
        "workload": options.workload.kind,
        "workload_ns": int(options.workload.seconds * 1e9),
        "max_threads": options.max_threads or 0,
        "settings": json.dumps(
            {
                **reported(options),
                "switch_interval_s": sys.getswitchinterval(),  # as the report of every server
                "cpus": plain(frozenset(os.sched_getaffinity(0))),
            }
        ),
    }
    return [
        f"{name}={int(value) if isinstance(value, bool) else plain(value)}"
        for name, value in told.items()
    ]
