"""Tries somebody's code, and says which fault it has.

A module of trials ends in `main(EXAMS)`; then `python -m MODULE FILE NAME [EXAM]` tries what has
that name in that file. One line on standard output: a fault, or that none was found; status 1 or 0.

The file is read afresh, in a process of its own, so that code that hangs, turns in circles or kills
its threads harms nobody, and an older version that was imported before is not looked at. Where a
race is looked for, threads stop for a moment between lines of the file, or in the middle of one,
drawn at random, and the interpreter's switch interval is a microsecond: what happens once a week
elsewhere happens now.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

PATIENCE_S = 3.0  # for what must happen, on a machine that may stand still for a second
_SWITCH_INTERVAL_S = 1e-6
_IDLE_S = 0.5
# Of the time: who turns in circles is awake for all of it. Who looks a hundred times a second waits
# for a CPU each time, which on a busy machine comes to a third.
_IDLE_SHARE = 0.7
_IDLE_LOOKS = 3
_STOPS, _STOP_S = 0.4, 0.001  # how often a thread stops before a line, and for how long at most
_STOPS_IN_A_LINE = 0.15  # before each of the interpreter's instructions, of which a line has some

NOTHING_FOUND = "no fault was found"

Trial = Callable[[Any], None]
Exams = Mapping[str, Sequence[Trial]]


class Fault(Exception):
    """What is wrong, as a sentence that leaves the mending to its author."""


class Job:
    """A handler: what it began, and what it finished. It waits at `gate` where there is one."""

    def __init__(self, gated: bool = False) -> None:
        self.begun: list[Any] = []
        self.done: list[Any] = []
        self._gate = threading.Event()
        self._changed = threading.Condition()
        if not gated:
            self._gate.set()

    def __call__(self, item: Any) -> None:
        """Handle one."""
        with self._changed:
            self.begun.append(item)
            self._changed.notify_all()
        self._gate.wait()
        with self._changed:
            self.done.append(item)
            self._changed.notify_all()

    def open(self) -> None:
        """Let through whoever waits."""
        self._gate.set()

    def happened(self, holds: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
        """Whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(holds, within_s)


class Call:
    """A call on a thread of its own, which may never come back."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self.found: Any = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.found = self._call()
        except Exception as error:
            self.error = error

    def came_back(self, within_s: float = PATIENCE_S) -> bool:
        """Whether it did in time. Raises `Fault` where it raised."""
        self._thread.join(within_s)
        if self.error is not None:
            raise Fault(f"it raised {type(self.error).__name__}: {self.error}")
        return not self._thread.is_alive()


def in_time(call: Callable[[], Any], fault: str, seconds: float = PATIENCE_S) -> Any:
    """What `call` gives. Raises `Fault` where it does not come back, or raises."""
    made = Call(call)
    if not made.came_back(seconds):
        raise Fault(fault)
    return made.found


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Call]:
    """Call all of them, each on a thread of its own, at the same moment."""
    start = threading.Barrier(len(calls))

    def together(call: Callable[[], Any]) -> Any:
        start.wait()
        return call()

    return [Call(lambda call=call: together(call)) for call in calls]  # type: ignore[misc]


@contextmanager
def deaths() -> Iterator[list[BaseException]]:
    """What threads died of meanwhile."""
    died: list[BaseException] = []
    before = threading.excepthook
    threading.excepthook = lambda hooked: died.append(hooked.exc_value or SystemExit())
    try:
        yield died
    finally:
        threading.excepthook = before


@contextmanager
def disturbed(subject: Any, in_lines: bool = False) -> Iterator[None]:
    """Threads that are started meanwhile stop between lines of the subject's file, at random;
    `in_lines`: between the instructions of a line as well."""
    often = {"line": _STOPS, "opcode": _STOPS_IN_A_LINE}

    def stop(event: str) -> None:
        if random.random() < often.get(event, 0):
            time.sleep(random.random() * _STOP_S)

    threading.settrace(_tracing(subject, stop, in_lines))
    try:
        yield
    finally:
        threading.settrace(None)


def slowly(subject: Any, call: Callable[[], Any], stop_s: float) -> Callable[[], Any]:
    """That call, for a thread of its own, which stops so long before each line of the subject's
    file: another then comes while it is in the middle."""

    def traced() -> Any:
        sys.settrace(_tracing(subject, lambda event: time.sleep(stop_s * (event == "line"))))
        return call()

    return traced


def _tracing(
    subject: Any, stop: Callable[[str], None], in_lines: bool = False
) -> Callable[[FrameType, str, Any], Any]:
    """What `settrace` takes: it calls `stop` at the events of the subject's file."""
    file = sys.modules[subject.__module__].__file__

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != file:
            return None
        frame.f_trace_opcodes = in_lines
        stop(event)
        return trace

    return trace


def awake() -> float:
    """Seconds that this process's threads ran or wanted to; a busy machine does not change it."""
    nanoseconds = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        try:
            ran, waited, _ = file.read_text("ascii").split()
        except FileNotFoundError:
            continue  # that thread has ended meanwhile
        nanoseconds += int(ran) + int(waited)
    return nanoseconds / 1e9 if nanoseconds else time.process_time()


def sleeps(who: str) -> None:
    """Whoever has nothing to do is not awake. Raises `Fault` where they are, at every look: what
    was there before may take a busy machine a while to end."""
    for _ in range(_IDLE_LOOKS):
        share = _awake_share()
        if share <= _IDLE_SHARE:
            return
    raise Fault(
        f"{who} awake for {min(share, 1):.0%} of the time: they look again and again instead "
        "of sleeping until there is something (busy waiting)"
    )


def _awake_share() -> float:
    """Of half a second, more than one where several threads are."""
    began_s, awake_s = time.monotonic(), awake()
    time.sleep(_IDLE_S)
    return (awake() - awake_s) / (time.monotonic() - began_s)


def examine(file: Path, name: str, trials: Sequence[Trial]) -> str | None:
    """The fault of what has that name in that file, as a sentence; None: none was found. Raises
    KeyboardInterrupt alone."""
    try:
        subject = getattr(_load(file), name)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        for trial in trials:
            trial(subject)
    except Fault as fault:
        return str(fault)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of the learner's own code, wherever it is; also SystemExit
        return f"it raised {type(error).__name__}: {error}"
    return None


def _load(file: Path) -> Any:
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(exams: Exams) -> None:
    """Print the fault, and leave without waiting for the threads of code that hangs. The first of
    the exams is the one where none is named."""
    file, name, exam = (*sys.argv[1:3], *sys.argv[3:], next(iter(exams)))[:3]
    told, sys.stdout = sys.stdout, sys.stderr  # what the code prints is no verdict
    fault = examine(Path(file), name, exams[exam])
    print(NOTHING_FOUND if fault is None else " ".join(fault.split()), file=told, flush=True)
    os._exit(0 if fault is None else 1)
