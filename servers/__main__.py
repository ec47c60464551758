"""`python -m servers BACKEND`: run one server until a signal."""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import sys

from servers.options import ServerOptions, parse_options
from servers.registry import UnknownBackend, resolve
from servers.server import CannotListen, Server

_MCL_CURRENT, _MCL_FUTURE = 1, 2


class CannotRun(Exception):
    """An option asks for what this machine does not allow."""


def main(argv: list[str] | None = None, prog: str = "python -m servers") -> int:
    """Run a server; its exit status: 0 drained, 1 requests were abandoned, 2 cannot run."""
    if sys.platform != "linux":
        print(f"{prog}: Linux or WSL2 is needed, for epoll and /proc", file=sys.stderr)
        return 2
    options = parse_options(sys.argv[1:] if argv is None else argv, prog)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        backend_class = resolve(options.backend)
        prepare_process(options)
        server = Server(options, backend_class)
    except (UnknownBackend, CannotListen, CannotRun) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    server.start()
    announce(server)
    return server.run()


def prepare_process(options: ServerOptions) -> None:
    """What applies to the whole process, before it has a second thread. Raises `CannotRun`."""
    if options.cpus:
        try:
            os.sched_setaffinity(0, options.cpus)
        except OSError as error:
            wanted, there = sorted(options.cpus), sorted(os.sched_getaffinity(0))
            raise CannotRun(f"--cpus {wanted} is not possible, there are {there}") from error
    if options.switch_interval_s is not None:
        sys.setswitchinterval(options.switch_interval_s)
    if options.lock_stacks:
        lock_memory()
    # What start-up left behind is not looked at again by the garbage collector.
    gc.collect()
    gc.freeze()


def lock_memory() -> None:
    """mlockall: every page, of stacks to come too, is resident. Raises `CannotRun`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise CannotRun(
            f"--lock-stacks: mlockall failed ({reason}); run as root or raise `ulimit -l`"
        )


def announce(server: Server) -> None:
    """One JSON line for programs on standard output, one sentence for people on standard error."""
    host, port = server.listener.getsockname()[:2]
    control_port = server.control.getsockname()[1]
    ready = {
        "backend": server.options.backend,
        "pid": os.getpid(),
        "host": host,
        "port": port,
        "control_port": control_port,
    }
    print(json.dumps(ready), flush=True)
    logging.getLogger("servers").info(
        "%s is ready: POST http://%s:%d/metrics, report at http://127.0.0.1:%d/report; "
        "Ctrl-C drains and stops",
        server.options.backend, host, port, control_port,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
