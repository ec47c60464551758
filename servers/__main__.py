"""`python -m servers BACKEND`: run one server until a signal."""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import sys
from typing import TYPE_CHECKING

from servers.answers import CannotListen
from servers.backend import Backend
from servers.memory import CannotRun, lock_memory
from servers.native.build import NATIVE, CannotBuild
from servers.native.launch import launch
from servers.options import PER_REQUEST, ServerOptions, parse_options
from servers.registry import UnknownBackend, resolve
from servers.restart import announce_restart
from servers.server import Server

if TYPE_CHECKING:
    from servers.prefork import Master


class PlainLines(logging.Formatter):
    """Log records that cannot pass for others, whatever a client put into an exception's text:
    lines after the first are indented, and what is not printable ASCII is escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        first, *others = super().format(record).split("\n")
        return "\n".join([printable(first), *("    " + printable(line) for line in others)])


def printable(text: str) -> str:
    """`text` with backslash escapes for all that is not printable ASCII."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def main(argv: list[str] | None = None, prog: str = "python -m servers") -> int:
    """Run a server; its exit status: 0 drained, 1 requests were abandoned, 2 cannot run."""
    if sys.platform != "linux":
        print(f"{prog}: Linux or WSL2 is needed, for epoll and /proc", file=sys.stderr)
        return 2
    arguments = sys.argv[1:] if argv is None else argv
    options = parse_options(arguments, prog)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainLines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if options.allow_restart:
        from servers.supervisor import Supervisor  # which a server itself has no use for

        return Supervisor(arguments, prog).run()
    try:
        if options.exit_with_parent:
            check_watched_input()
        if options.trace is not None and options.connections != PER_REQUEST:
            raise CannotRun(
                f"--trace is of one request on each connection; leave out --connections "
                f"{options.connections}"
            )
        if options.backend in NATIVE:
            take_cpus(options)
            launch(options)
        backend_class = resolve(options.backend)
        if options.trace is not None and backend_class.forked:
            raise CannotRun(f"{options.backend} has several processes, which keep no trace; leave "
                            "out --trace")  # fmt: skip
        prepare_process(options)
        server = make_server(options, backend_class)
    except (UnknownBackend, CannotListen, CannotRun, CannotBuild) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    try:
        server.start()
    except RuntimeError as error:  # what Python raises when there is no room for a thread
        print(
            f"{prog}: {options.backend} cannot start: {error}; "
            "take fewer --workers or a smaller --stack-size",
            file=sys.stderr,
        )
        return 2
    announce(server)
    status = server.run()
    if server.restart is not None:
        announce_restart(server.restart)
    return status


def make_server(options: ServerOptions, backend_class: type[Backend]) -> Server | Master:
    """One server, or the master of several. Raises `CannotListen`."""
    if backend_class.forked:
        from servers.prefork import Master  # which a server alone has no use for

        return Master(options, backend_class)
    return Server(options, backend_class)


def prepare_process(options: ServerOptions) -> None:
    """Applies process-wide options, before there is a second thread. Raises `CannotRun`."""
    take_cpus(options)
    if options.switch_interval_s is not None:
        sys.setswitchinterval(options.switch_interval_s)
    if options.lock_stacks:
        lock_memory()
    # What start-up left behind is not looked at again by the garbage collector.
    gc.collect()
    gc.freeze()


def check_watched_input() -> None:
    """Raise `CannotRun` where standard input is nothing whose end can be waited for: a file, or
    /dev/null, is always at its end."""
    with select.epoll() as tried:
        try:
            tried.register(0, select.EPOLLIN)
        except OSError as error:
            raise CannotRun(
                "--exit-with-parent waits for the end of standard input, and this one cannot be "
                f"waited for ({error.strerror}): it is closed, a file or /dev/null; give it a "
                "pipe, or leave the option out"
            ) from error


def take_cpus(options: ServerOptions) -> None:
    """Stay on the CPUs that were asked for. Raises `CannotRun`."""
    if options.cpus:
        try:
            os.sched_setaffinity(0, options.cpus)
        except OSError as error:
            wanted, there = sorted(options.cpus), sorted(os.sched_getaffinity(0))
            raise CannotRun(f"--cpus {wanted} is not possible, there are {there}") from error


def announce(server: Server | Master) -> None:
    """One JSON line for programs on standard output, one sentence for people on standard error."""
    host, port = server.listener.getsockname()[:2]
    assert server.control is not None
    control_host, control_port = server.control.getsockname()[:2]
    ready = {
        "backend": server.options.backend,
        "pid": os.getpid(),
        "host": host,
        "port": port,
        "control_port": control_port,
    }
    print(json.dumps(ready), flush=True)
    logging.getLogger("servers").info(
        "%s is ready: POST http://%s:%d/metrics, report at http://%s:%d/report; "
        "Ctrl-C drains and stops",
        server.options.backend, host, port, control_host, control_port,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
