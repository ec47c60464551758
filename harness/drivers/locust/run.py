"""Locust as the generator of a trial: `python -m harness.drivers.locust.run`, started by the lab.

It speaks as `harness.drivers.open_loop.worker` does (a config on standard input; `warm`; a line to
go; a summary), but with Locust's users. One process runs them all, or is the master of several that
do: each of those keeps the account of its own users and sends it in batches, and this one alone
writes the request log. Workers of other machines can have an engine of the open loop instead of
users (`engines`). gevent makes the whole process cooperative, so it is never the lab's own,
the open-loop generator's or a server's.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

# What follows must find the patched modules.
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from time import monotonic_ns  # noqa: E402

import msgspec  # noqa: E402

from harness.drivers.locust.config import (  # noqa: E402
    LocustConfig,
    Stopped,
    WorkerConfig,
    interval_ns,
)
from harness.drivers.locust.engines import EngineWorker, run_engines  # noqa: E402
from harness.drivers.locust.master import run_workers  # noqa: E402
from harness.drivers.locust.parent import LogWriter, ParentChannel  # noqa: E402
from harness.drivers.locust.worker import (  # noqa: E402
    ARRIVE_S,
    LocalUsers,
    be_remote_worker,
    be_worker,
    limit,
    make_environment,
    wait_for,
    warm_up,
)
from harness.drivers.open_loop.fleet import FleetConfig  # noqa: E402
from harness.drivers.open_loop.worker import Summary, take_priority  # noqa: E402


def run_here(config: LocustConfig, parent: ParentChannel) -> None:
    """All users in this process."""
    environment = make_environment(config)
    runner = environment.create_local_runner()
    users, log = LocalUsers(environment, runner), LogWriter(config.measured_fd, interval_ns(config))
    warm_up(runner, config)
    users.window.hold()
    wait_for(users.held, config.timeout_s + ARRIVE_S, "the end of the warm-up")
    parent.say_warm()
    log.open(monotonic_ns())
    users.window.open(config.duration_s, config.users, 0)
    used_ns, took_ns = users.run_window(lambda rows: log.add(rows, 0), limit(config))
    parent.say(Summary(took_ns, used_ns, 0, recorded=[users.window.recorded]))
    runner.quit()


def main() -> int:
    """Exit status 0; 1 with a sentence on standard error when the run could not be made."""
    parent = ParentChannel()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if "--distant" in sys.argv:
        found = msgspec.json.decode(parent.line(), type=WorkerConfig)
        be_remote_worker(found, EngineWorker())
    try:
        if "--engines" in sys.argv:
            run_engines(msgspec.json.decode(parent.line(), type=FleetConfig), parent)
            return 0
        config = msgspec.json.decode(parent.line(), type=LocustConfig)
        if config.cpus:
            os.sched_setaffinity(0, config.cpus)
            take_priority()
        if "--worker" in sys.argv:
            be_worker(config)
        elif config.workers:
            run_workers(config, parent)
        else:
            run_here(config, parent)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
