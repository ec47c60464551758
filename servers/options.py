"""The knobs of a server: one default, one unit and one reason each."""

from __future__ import annotations

import argparse
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

KIB = 1024
MIB = 1024 * KIB
MIN_STACK_BYTES = 32 * KIB  # what CPython's threading.stack_size accepts at least
MAX_STACK_BYTES = 1024 * MIB
MAX_WORKERS = 10_000
# For a whole request, from accept to the last byte of its answer: a browser's user gives up later,
# a monitoring client sooner. Every second of it is a second that a slow client holds a thread.
REQUEST_DEADLINE_S = 5.0

_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|K|M|G)?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "b": 1, "k": KIB, "kib": KIB, "m": MIB, "mib": MIB}
_SIZE_UNITS |= {"g": 1024 * MIB, "gib": 1024 * MIB}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_DURATION_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Workload:
    """What the handler does besides ingesting: nothing, waiting, or computing.

    `kind` is `ingest`, `io` or `cpu`; `seconds` is how long a request waits or computes.
    """

    kind: str = "ingest"
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind == "ingest" else f"{self.kind}:{self.seconds * 1e3:g}ms"

    def runner(self) -> Callable[[], None] | None:
        """What the handler calls between validating and writing, or None for nothing."""
        if self.kind == "io":
            return lambda: time.sleep(self.seconds)
        return self._compute if self.kind == "cpu" else None

    def _compute(self) -> None:
        # CPU time of this thread, so that the work is the same however often it is preempted.
        end_ns = time.thread_time_ns() + int(self.seconds * 1e9)
        while time.thread_time_ns() < end_ns:
            pass


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything that a server is started with. Sizes in bytes, rates per second."""

    backend: str
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 16
    queue_size: int = 10_000
    stack_size_bytes: int = 2 * MIB
    backlog: int = 4096
    rate_limit_per_s: int = 1000
    request_deadline_s: float = REQUEST_DEADLINE_S
    max_threads: int = 0
    control_host: str = "127.0.0.1"
    control_port: int = 0
    workload: Workload = Workload()
    cpus: frozenset[int] = frozenset()
    switch_interval_s: float | None = None
    lock_stacks: bool = False
    exit_with_parent: bool = False
    allow_restart: bool = False
    supervised: bool = False


def parse_size(text: str) -> int:
    """Bytes of `2MiB`, `512KiB` or `65536`. Raises ValueError with the reason."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: write a number of bytes, or like 512KiB or 2MiB")
    return int(match[1]) * _SIZE_UNITS[(match[2] or "").lower()]


def parse_stack_size(text: str) -> int:
    """A stack size in bytes that a thread can be started with. Raises ValueError."""
    size = parse_size(text)
    if not MIN_STACK_BYTES <= size <= MAX_STACK_BYTES or size % (4 * KIB):
        raise ValueError(
            f"a stack of {text} is not possible: take a multiple of 4KiB from 32KiB to 1GiB"
        )
    return size


def parse_workload(text: str) -> Workload:
    """A `Workload` of `ingest`, `io:40ms` or `cpu:2ms`. Raises ValueError with the reason."""
    if text == "ingest":
        return Workload()
    kind, _, length = text.partition(":")
    match = _DURATION.fullmatch(length)
    if kind not in ("io", "cpu") or match is None:
        raise ValueError(f"{text!r} is no workload: write ingest, io:40ms or cpu:2ms")
    seconds = float(match[1]) * _DURATION_UNITS_S[match[2]]
    if not 0 < seconds <= 4:
        raise ValueError(
            f"workload {text!r} takes {seconds:g} s a request; it must be above 0 and at most 4 s, "
            "since a request has 5 s in all"
        )
    return Workload(kind, seconds)


def parse_cpus(text: str) -> frozenset[int]:
    """A set of CPU numbers of `0` or `0,2-3`. Raises ValueError with the reason."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise ValueError(f"{text!r} is no list of CPUs: write like 0 or 0,2-3")
        cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def whole_number(name: str, lowest: int, highest: int) -> Callable[[str], int]:
    """A parser for `name` that takes whole numbers from `lowest` to `highest`."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            raise ValueError(f"{name} must be a whole number from {lowest} to {highest}: {text!r}")
        return int(text)

    return parse


def number_of_seconds(name: str, lowest: float, highest: float) -> Callable[[str], float]:
    """A parser for `name` that takes seconds from `lowest` to `highest`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not lowest <= value <= highest:
            raise ValueError(f"{name} is seconds from {lowest:g} to {highest:g}: {text!r}")
        return value

    return parse


class _Parser(argparse.ArgumentParser):
    """One sentence on standard error and exit status 2, instead of a page of usage; a ValueError
    with that sentence where `exit_on_error` is off."""

    def error(self, message: str) -> NoReturn:
        if not self.exit_on_error:
            raise ValueError(message)
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def _argument(parse: Callable[[str], object]) -> Callable[[str], object]:
    """Let argparse print the reason that `parse` gives instead of a sentence of its own."""

    def parse_or_explain(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse_or_explain


def build_parser(prog: str, exit_on_error: bool = True) -> argparse.ArgumentParser:
    """The command line of a server; `prog` is the name that messages start with."""
    parser = _Parser(
        exit_on_error=exit_on_error,
        prog=prog,
        description="Run one MetricStream server by hand.",
        epilog=f"example: {prog} thread-pool --port 8080 --workers 16",
        allow_abbrev=False,
    )
    add = parser.add_argument
    port = whole_number("a port", 0, 65_535)
    # fmt: off
    add("backend", help="thread-per-request, thread-pool, or a plugin as module:Class")
    add("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    add("--port", type=_argument(port), default=8080, help="0 takes a free one (default 8080)")
    add("--workers", type=_argument(whole_number("--workers", 1, MAX_WORKERS)), default=16,
        help="threads of the pool (default 16)")
    add("--queue-size", type=_argument(whole_number("--queue-size", 1, 10_000_000)), default=10_000,
        help="connections that may wait for a worker; one more gets 503 (default 10000)")
    add("--stack-size", type=_argument(parse_stack_size), default=2 * MIB, metavar="SIZE",
        help="address space for the stack of each thread (default 2MiB)")
    add("--backlog", type=_argument(whole_number("--backlog", 1, 65_535)), default=4096,
        help="connections that the kernel holds until accept; capped by somaxconn (default 4096)")
    add("--rate-limit", type=_argument(whole_number("--rate-limit", 0, 10_000_000)), default=1000,
        help="requests a second for each client, burst as many; 0 is no limit (default 1000)")
    add("--request-deadline", type=_argument(number_of_seconds("--request-deadline", 0.05, 3600)),
        default=REQUEST_DEADLINE_S, metavar="S",
        help="seconds that a whole request may take from accept; also of the drain (default 5)")
    add("--max-threads", type=_argument(whole_number("--max-threads", 0, 1_000_000)), default=0,
        help="thread-per-request: live threads at most, one more gets 503 (default 0: no limit)")
    add("--control-port", type=_argument(port), default=0,
        help="port of /report and /metrics (default 0: a free one)")
    add("--control-host", default="127.0.0.1", metavar="HOST",
        help="address of the control port; beyond loopback LABRUN_TOKEN must be set")
    add("--workload", type=_argument(parse_workload), default=Workload(), metavar="KIND",
        help="ingest, io:40ms (wait as on a database) or cpu:2ms (compute) in each request")
    add("--cpus", type=_argument(parse_cpus), default=frozenset(), metavar="LIST",
        help="run on these CPUs only, so that load elsewhere does not compete")
    add("--switch-interval", type=_argument(number_of_seconds("--switch-interval", 1e-6, 10)),
        default=None, metavar="S",
        help="how long a thread may keep the GIL once another waits (Python's default 0.005)")
    add("--lock-stacks", action="store_true",
        help="mlockall: every stack page is resident from a thread's start")
    add("--exit-with-parent", action="store_true", help="end when standard input closes")
    add("--allow-restart", action="store_true",
        help="POST /restart on the control port starts a fresh server on the same ports")
    add("--supervised", action="store_true", help=argparse.SUPPRESS)
    # fmt: on
    return parser


def _refuse_repeated(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """An option that is given twice would silently be the last."""
    names = [argument.partition("=")[0] for argument in argv if argument.startswith("--")]
    for name, times in Counter(names).items():
        if times > 1:
            parser.error(f"{name} is given more than once; give it once")


def parse_options(argv: list[str], prog: str) -> ServerOptions:
    """Options of a command line. Exits with status 2 and one sentence on bad usage."""
    parser = build_parser(prog)
    found = parser.parse_args(argv)
    if not found.supervised:  # to whose command line the supervisor adds what wins
        _refuse_repeated(parser, argv)
    return ServerOptions(
        backend=found.backend,
        host=found.host,
        port=found.port,
        workers=found.workers,
        queue_size=found.queue_size,
        stack_size_bytes=found.stack_size,
        backlog=found.backlog,
        rate_limit_per_s=found.rate_limit,
        request_deadline_s=found.request_deadline,
        max_threads=found.max_threads,
        control_port=found.control_port,
        control_host=found.control_host,
        workload=found.workload,
        cpus=found.cpus,
        switch_interval_s=found.switch_interval,
        lock_stacks=found.lock_stacks,
        exit_with_parent=found.exit_with_parent,
        allow_restart=found.allow_restart,
        supervised=found.supervised,
    )
