"""The knobs of a server: one default, one unit and one reason each.

An option is a field of `ServerOptions`. The parser, the report's settings and what the control port
lets others choose follow from it.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NoReturn

KIB = 1024
MIB = 1024 * KIB
MIN_STACK_BYTES = 32 * KIB  # what CPython's threading.stack_size accepts at least
MAX_STACK_BYTES = 1024 * MIB
# For a whole request, from accept to the last byte of its answer: a browser's user gives up later,
# a monitoring client sooner. Every second of it is a second that a slow client holds a thread.
REQUEST_DEADLINE_S = 5.0

PER_REQUEST, KEEP_ALIVE = "per-request", "keep-alive"

_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|K|M|G)?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "b": 1, "k": KIB, "kib": KIB, "m": MIB, "mib": MIB}
_SIZE_UNITS |= {"g": 1024 * MIB, "gib": 1024 * MIB}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_CPU_DIGITS = 5  # of the number of a CPU
_DURATION_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Workload:
    """The handler's work besides ingesting: nothing, waiting, or computing.

    `kind` is `ingest`, `io` or `cpu`; `seconds` is how long a request waits or computes.
    """

    kind: str = "ingest"
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind == "ingest" else f"{self.kind}:{self.seconds * 1e3:g}ms"

    def compute(self) -> None:
        """Use the CPU for `seconds`."""
        # CPU time of this thread, so that the work is the same however often it is preempted.
        end_ns = time.thread_time_ns() + int(self.seconds * 1e9)
        while time.thread_time_ns() < end_ns:
            pass


INGEST = Workload()


def parse_size(text: str) -> int:
    """Bytes of `2MiB`, `512KiB` or `65536`. Raises ValueError with the reason."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: write a number of bytes, or like 512KiB or 2MiB")
    return int(match[1]) * _SIZE_UNITS[(match[2] or "").lower()]


def size_text(size: int) -> str:
    """`2MiB`, `512KiB` or `65537`: a number of bytes as `parse_size` reads it."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


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
        return INGEST
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


def parse_patience(text: str) -> float:
    """Seconds of `1s`, `250ms` or `0.25`. Raises ValueError with the reason."""
    match = _DURATION.fullmatch(text)
    seconds = text if match is None else str(float(match[1]) * _DURATION_UNITS_S[match[2]])
    try:
        return _PATIENCE_S(seconds)
    except ValueError as error:
        raise ValueError(
            f"--patience is a time from 10ms to 1h, like 1s or 250ms: {text!r}"
        ) from error


def parse_cpus(text: str) -> frozenset[int]:
    """A set of CPU numbers of `0` or `0,2-3`. Raises ValueError with the reason."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = [first, last] if dash else [first]
        if not all(n.isascii() and n.isdigit() and len(n) <= _CPU_DIGITS for n in numbers):
            raise ValueError(f"{text!r} is no list of CPUs: write like 0 or 0,2-3")
        found = range(int(first), int(numbers[-1]) + 1)
        if not found:
            raise ValueError(f"{text!r} is no list of CPUs: {part.strip()} has none in it")
        cpus.update(found)
    return frozenset(cpus)


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """Reads a whole number from `lowest` to `highest`; raises ValueError with the reason."""

    name: str
    lowest: int
    highest: int

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not self.lowest <= int(text) <= self.highest:
            raise ValueError(
                f"{self.name} must be a whole number from {self.lowest} to {self.highest}: {text!r}"
            )
        return int(text)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Reads one of some names; raises ValueError with all of them."""

    name: str
    names: tuple[str, ...]

    def __call__(self, text: str) -> str:
        if text not in self.names:
            raise ValueError(f"{self.name} is one of {', '.join(self.names)}: {text!r}")
        return text


@dataclass(frozen=True, slots=True)
class Seconds:
    """Reads seconds from `lowest` to `highest`; raises ValueError with the reason."""

    name: str
    lowest: float
    highest: float

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not self.lowest <= value <= self.highest:
            raise ValueError(
                f"{self.name} is seconds from {self.lowest:g} to {self.highest:g}: {text!r}"
            )
        return value


_PATIENCE_S = Seconds("--patience", 0.01, 3600)


@dataclass(frozen=True, slots=True)
class Option:
    """How a field of `ServerOptions` stands on the command line.

    `read`: makes its value of a text, ValueError saying why not; None for a flag. `chosen`: a run
    may choose it, so the report has it and the control port takes it. Where a server listens, and
    on which CPUs, is its machine's own business.
    """

    flag: str
    read: Callable[[str], Any] | None
    help: str
    metavar: str | None
    chosen: bool


def _option(
    flag: str,
    default: object,
    read: Callable[[str], object] | None,
    help: str,
    metavar: str | None = None,
    chosen: bool = False,
) -> Any:
    """A field of `ServerOptions` and its option in one."""
    option = Option(flag, read, help, metavar, chosen)
    return field(default=default, metadata={"option": option})


_chosen = partial(_option, chosen=True)


# fmt: off
@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything that a server is started with, each declared here and nowhere else. Sizes in
    bytes, rates per second."""

    backend: str
    host: str = _option("--host", "127.0.0.1", str,
        "address to listen on (default: loopback only)")
    port: int = _option("--port", 8080, WholeNumber("a port", 0, 65_535),
        "0 takes a free one (default 8080)")
    workers: int = _chosen("--workers", 16, WholeNumber("--workers", 1, 10_000),
        "threads of the pool (default 16)")
    processes: int | None = _chosen("--processes", None, WholeNumber("--processes", 1, 1000),
        "prefork: processes that serve, each with so many workers (default: one for each CPU)")
    listener: str = _chosen("--listener", "inherited",
        OneOf("--listener", ("inherited", "reuseport")),
        "prefork: inherited: all accept on one socket; reuseport: each on its own, and the kernel "
        "deals out (default inherited)", "KIND")
    queue_size: int = _chosen("--queue-size", 10_000, WholeNumber("--queue-size", 1, 10_000_000),
        "connections that may wait for a worker; one more gets 503 (default 10000)")
    queue_policy: str = _chosen("--queue-policy", "fifo",
        OneOf("--queue-policy", ("fifo", "lifo", "drop-expired")),
        "thread-pool: which is taken next: fifo, lifo (the newest), or drop-expired: the oldest, "
        "but who cannot be answered within --patience any more gets 503 (default fifo)", "POLICY")
    patience_s: float = _chosen("--patience", 1.0, parse_patience,
        "how long clients wait, for drop-expired: 1s, 250ms, or seconds (default 1s)", "TIME")
    stack_size_bytes: int = _chosen("--stack-size", 2 * MIB, parse_stack_size,
        "address space for the stack of each thread (default 2MiB)", "SIZE")
    backlog: int = _chosen("--backlog", 4096, WholeNumber("--backlog", 1, 65_535),
        "connections that the kernel holds until accept; capped by somaxconn (default 4096)")
    rate_limit_per_s: int = _chosen("--rate-limit", 1000,
        WholeNumber("--rate-limit", 0, 10_000_000),
        "requests a second for each client, burst as many; 0 is no limit (default 1000)")
    request_deadline_s: float = _chosen("--request-deadline", REQUEST_DEADLINE_S,
        Seconds("--request-deadline", 0.05, 3600),
        "seconds that a whole request may take from accept; also of the drain (default 5)", "S")
    connections: str = _chosen("--connections", PER_REQUEST,
        OneOf("--connections", (PER_REQUEST, KEEP_ALIVE)),
        "per-request closes each after its answer, as the document has it; keep-alive keeps them "
        "(default per-request)", "MODE")
    idle_deadline_s: float = _chosen("--idle-deadline", 60.0,
        Seconds("--idle-deadline", 0.05, 3600),
        "keep-alive: seconds that a connection may be without a request (default 60)", "S")
    max_threads: int | None = _chosen("--max-threads", None,
        WholeNumber("--max-threads", 0, 1_000_000),
        "thread-per-request: live threads at most, one more gets 503 (default 0: no limit)")
    trace: int | None = _chosen("--trace", None, WholeNumber("--trace", 1, 100_000),
        "keep the thread and every step's time of so many requests, for GET /trace on the control "
        "port (default: of none)", "N")
    control_port: int = _option("--control-port", 0, WholeNumber("a port", 0, 65_535),
        "port of /report and /metrics (default 0: a free one)")
    control_host: str = _option("--control-host", "127.0.0.1", str,
        "address of the control port; beyond loopback LABRUN_TOKEN must be set", "HOST")
    workload: Workload = _chosen("--workload", INGEST, parse_workload,  # noqa: RUF009
        "ingest, io:40ms (wait as on a database) or cpu:2ms (compute) in each request", "KIND")
    cpus: frozenset[int] = _option("--cpus", frozenset(), parse_cpus,
        "run on these CPUs only, so that load elsewhere does not compete", "LIST")
    switch_interval_s: float | None = _chosen("--switch-interval", None,
        Seconds("--switch-interval", 1e-6, 10),
        "how long a thread may keep the GIL once another waits (Python's default 0.005)", "S")
    lock_stacks: bool = _chosen("--lock-stacks", False, None,
        "mlockall: every stack page is resident from a thread's start")
    exit_with_parent: bool = _option("--exit-with-parent", False, None,
        "end when standard input closes")
    allow_restart: bool = _option("--allow-restart", False, None,
        "POST /restart on the control port starts a fresh server on the same ports")
    supervised: bool = _option("--supervised", False, None, argparse.SUPPRESS)
# fmt: on


OPTIONS: dict[str, Option] = {
    part.name: part.metadata["option"] for part in fields(ServerOptions) if part.metadata
}
CHOSEN = {name: option for name, option in OPTIONS.items() if option.chosen}
DEFAULTS: dict[str, Any] = {part.name: part.default for part in fields(ServerOptions)}


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


class _ListOptions(argparse.Action):
    """`--options`: print every option as JSON, for a lab of another version, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        told = [
            {"name": option.flag, "default": plain(DEFAULTS[name]), "choosable": option.chosen}
            for name, option in OPTIONS.items()
        ]
        print(json.dumps(told, indent=1))
        parser.exit()


def build_parser(prog: str, exit_on_error: bool = True) -> argparse.ArgumentParser:
    """The command line of a server; `prog` is the name that messages start with. What is not given
    is not in what it finds. Without `exit_on_error` nothing exits, and bad usage is a ValueError or
    an ArgumentError."""
    parser = _Parser(
        exit_on_error=exit_on_error,
        prog=prog,
        description="Run one MetricStream server by hand.",
        epilog=f"example: {prog} thread-pool --port 8080 --workers 16",
        allow_abbrev=False,
        add_help=exit_on_error,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "backend",
        help="thread-per-request or thread-pool, each also in C++ with native- before it, "
        "event-loop, prefork, or a plugin as module:Class",
    )
    for name, option in OPTIONS.items():
        if option.read is None:
            parser.add_argument(option.flag, dest=name, action="store_true", help=option.help)
        else:
            metavar = option.metavar or option.flag.strip("-").replace("-", "_").upper()
            parser.add_argument(
                option.flag, dest=name, type=_argument(option.read), metavar=metavar,
                help=option.help,
            )  # fmt: skip
    if exit_on_error:
        parser.add_argument(
            "--options", action=_ListOptions, nargs=0, help="print all options as JSON and exit"
        )
    return parser


def given_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """The fields of `ServerOptions` that a command line gives, the backend among them. Bad usage
    ends as the parser ends it."""
    found = vars(parser.parse_args(argv))
    if not found.get("supervised"):  # to whose command line the supervisor adds what wins
        _refuse_repeated(parser, argv)
    return found


def parse_options(argv: Sequence[str], prog: str) -> ServerOptions:
    """Options of a command line. Exits with status 2 and one sentence on bad usage."""
    return ServerOptions(**given_options(build_parser(prog), argv))


def _refuse_repeated(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """An option that is given twice would silently be the last."""
    names = [argument.partition("=")[0] for argument in argv if argument.startswith("--")]
    for name, times in Counter(names).items():
        if times > 1:
            parser.error(f"{name} is given more than once; give it once")


def reported(options: ServerOptions) -> dict[str, Any]:
    """The chosen options, for the report; those that are None are left out."""
    values = {name: plain(getattr(options, name)) for name in CHOSEN}
    return {name: value for name, value in values.items() if value is not None}


def arguments_of(values: Mapping[str, Any]) -> list[str]:
    """The command line of fields of `ServerOptions`; None and False are what a server does anyway,
    and left out."""
    flags = {name: OPTIONS[name].flag for name in values}
    return [
        flags[name] if value is True else f"{flags[name]}={plain(value)}"
        for name, value in values.items()
        if value is not None and value is not False
    ]


def plain(value: Any) -> Any:
    """The value of an option as JSON has it."""
    if isinstance(value, frozenset):
        return ",".join(map(str, sorted(value)))
    return str(value) if isinstance(value, Workload) else value
