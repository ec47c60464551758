"""Tries a pool, and says which fault it has: `python -m harness.course.pool_examiner FILE CLASS`.

The file is read afresh, in a process of its own, so that a pool that hangs, turns in circles or
kills its threads harms nobody, and an older version that was imported before is not looked at.
Where a race is looked for, threads stop for a moment between lines of the file, drawn at random,
and the interpreter's switch interval is a microsecond: what happens once a week elsewhere happens
now.
One line on standard output: a fault, or nothing.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

PATIENCE_S = 3.0  # for what must happen, on a machine that may stand still for a second
_SWITCH_INTERVAL_S = 1e-6
_IDLE_S = 0.5
_IDLE_SHARE = 0.3  # of the time: what sleeps is awake for next to none of it
_ROUNDS = 15  # of a race: each is a new pool and some threads that meet
_WAKES = 150
_STOPS, _STOP_S = 0.4, 0.001  # how often a thread stops before a line, and for how long at most


class Fault(Exception):
    """What is wrong with the pool, as a sentence that leaves the mending to its author."""


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


def in_time(call: Callable[[], Any], fault: str, seconds: float = PATIENCE_S) -> Any:
    """What `call` gives. Raises `Fault` where it does not come back, or raises."""
    ended: list[tuple[bool, Any]] = []

    def run() -> None:
        try:
            ended.append((True, call()))
        except Exception as error:
            ended.append((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise Fault(fault)
    came_back, found = ended[0]
    if not came_back:
        raise Fault(f"it raised {type(found).__name__}: {found}")
    return found


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
def disturbed(pool_class: Any) -> Iterator[None]:
    """Threads that are started meanwhile stop between lines of the pool's file, at random."""
    file = sys.modules[pool_class.__module__].__file__

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != file:
            return None
        if event == "line" and random.random() < _STOPS:
            time.sleep(random.random() * _STOP_S)
        return trace

    threading.settrace(trace)
    try:
        yield
    finally:
        threading.settrace(None)


def submit(pool: Any, item: Any) -> bool:
    """Offer one to the pool. Raises `Fault` where that waits or says nothing."""
    taken = in_time(
        lambda: pool.submit(item),
        "submit() does not come back while handlers are busy: does somebody hold the lock while a "
        "handler runs, or does submit() wait for room?",
    )
    if not isinstance(taken, bool):
        raise Fault(f"submit() gave {taken!r}: it must say True (taken) or False (no room)")
    return taken


def has_the_methods(pool_class: Any) -> None:
    """The three methods and how it is made."""
    for name in ("submit", "close", "__len__"):
        if not callable(getattr(pool_class, name, None)):
            raise Fault(f"the class has no {name}()")
    made = in_time(lambda: pool_class(1, 1, Job()), "making a Pool(workers, size, handle) waits")
    close(made, 1)


def wakes_a_sleeper(pool_class: Any) -> None:
    """One item for a worker that has gone to sleep."""
    job = Job()
    pool = pool_class(1, 3, job)
    time.sleep(0.05)  # so that it sleeps: no event tells that a thread has begun to wait
    if not submit(pool, 0):
        raise Fault("an empty pool refused: there was room")
    if not job.happened(lambda: bool(job.done)):
        raise Fault("one was taken while the workers slept, and nobody woke up to handle it")
    close(pool, PATIENCE_S)


def loses_no_wake_up(pool_class: Any) -> None:
    """One item at whatever moment the worker is about to sleep, again and again."""
    job = Job()
    with disturbed(pool_class):
        pool = pool_class(1, 3, job)
        for number in range(_WAKES):
            submit(pool, number)
            if not job.happened(lambda count=number + 1: len(job.done) >= count):  # type: ignore[misc]
                raise Fault(
                    "one came at the moment at which its worker went to sleep, and nobody handled "
                    "it: the wake-up was lost"
                )
        close(pool, PATIENCE_S)


def keeps_its_bound(pool_class: Any) -> None:
    """Two workers and room for three: two are handled, three wait, and the sixth is refused."""
    job = Job(gated=True)
    pool = pool_class(2, 3, job)
    taken = [submit(pool, 0), submit(pool, 1)]
    if not job.happened(lambda: len(job.begun) == 2):
        submit(pool, 2)  # which does not come back where the lock is held meanwhile
        raise Fault(
            "of two workers one alone is at work: while it handles something, the other cannot "
            "take anything. What does a worker hold while it runs the handler?"
        )
    taken += [submit(pool, number) for number in range(2, 8)]
    if taken[:2] != [True, True]:
        raise Fault("it refused although its workers were free")
    waiting = taken[2:].count(True)
    if job.happened(lambda: len(job.begun) > 2, within_s=0.2):
        raise Fault("with two workers more than two were handled at the same time")
    if waiting == 6:
        raise Fault("its queue has no bound: nothing was ever refused")
    if waiting != 3:
        raise Fault(f"with room for 3 it let {waiting} wait: look at the comparison with the size")
    length = in_time(lambda: len(pool), "len() does not come back")
    if length != 3:
        raise Fault(f"three wait and two are being handled, and len() says {length}")
    threading.Timer(0.1, job.open).start()  # when close() is waiting
    if not close(pool, PATIENCE_S):
        raise Fault(
            "close() gave False although everything was finished in time: have the workers ended, "
            "and how do they hear that no more is to come?"
        )
    if sorted(job.done) != [0, 1, 2, 3, 4]:
        left = sorted({0, 1, 2, 3, 4} - set(job.done))
        raise Fault(f"{len(left)} were taken and never handled: close() must let the queue empty")


def survives_its_handlers(pool_class: Any) -> None:
    """A handler that raises costs one item, not a worker."""
    job = Job()

    def handle(item: int) -> None:
        if item < 4:
            raise ValueError("on purpose: a handler went wrong")
        job(item)

    with deaths():
        pool = pool_class(2, 10, handle)
        for number in range(8):
            submit(pool, number)
        if not job.happened(lambda: sorted(job.done) == [4, 5, 6, 7]):
            raise Fault(
                "handlers raised, and what came afterwards was not handled: each exception took a "
                "worker with it"
            )
        close(pool, PATIENCE_S)


def sleeps_when_there_is_nothing(pool_class: Any) -> None:
    """Workers that have nothing to do are not awake."""
    pool = pool_class(4, 3, Job())
    time.sleep(0.05)
    began_s, awake_s = time.monotonic(), awake()
    time.sleep(_IDLE_S)
    share = (awake() - awake_s) / (time.monotonic() - began_s)
    close(pool, PATIENCE_S)
    if share > _IDLE_SHARE:
        raise Fault(
            f"workers that have nothing to do are awake for {min(share, 1):.0%} of the time: they "
            "look again and again instead of sleeping until there is something (busy waiting)"
        )


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


def has_no_race_for_room(pool_class: Any) -> None:
    """Many submit at once where there is room for two."""
    for _ in range(_ROUNDS):
        job = Job(gated=True)
        with disturbed(pool_class):
            pool = pool_class(2, 2, job)
            for number in range(2):
                submit(pool, number)
            if not job.happened(lambda job=job: len(job.begun) == 2):  # type: ignore[misc]
                raise Fault("two were taken while the workers were free, and not both were handled")
            taken = _at_once(pool, 6).count(True)
            job.open()
            close(pool, PATIENCE_S)
        if taken > 2:
            raise Fault(
                "when several submit at once it takes more than its size: between looking at the "
                "length and adding to the queue another got in (a race)"
            )


def has_no_race_for_the_last(pool_class: Any) -> None:
    """Several workers, and items that come one by one: a worker that is done and one that is woken
    may be after the same item."""
    for _ in range(_ROUNDS):
        job = Job()
        with deaths() as died, disturbed(pool_class):
            pool = pool_class(4, 100, job)
            taken = [submit(pool, number) for number in range(30)].count(True)
            close(pool, PATIENCE_S)
        if died:
            raise Fault(
                f"a worker died of {type(died[0]).__name__}: between looking whether there is "
                "something and taking it another took it (a race)"
            )
        if sorted(job.done) != list(range(taken)):
            raise Fault("when several take at once, some were handled twice or never (a race)")


def _at_once(pool: Any, offers: int) -> list[bool]:
    """Submit from as many threads at the same moment; what each was told."""
    start = threading.Barrier(offers)
    told: list[bool] = []

    def offer() -> None:
        start.wait()
        told.append(pool.submit(object()))

    threads = [threading.Thread(target=offer, daemon=True) for _ in range(offers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    return told


def ends_in_time(pool_class: Any) -> None:
    """`close` keeps to its time, whatever the workers do, and its threads end."""
    took_s = []
    for _ in range(3):  # the shortest counts: the machine may stand still in one of them
        job = Job(gated=True)
        pool = pool_class(4, 4, job)
        for number in range(4):
            submit(pool, number)
        job.happened(lambda job=job: len(job.begun) == 4)  # type: ignore[misc]
        for number in range(4, 8):
            submit(pool, number)
        began = time.monotonic()
        ended = in_time(
            lambda pool=pool: pool.close(0.4),  # type: ignore[misc]
            "close(0.4) does not come back while the queue is full and the workers are busy",
            0.4 * 4 + PATIENCE_S,
        )
        took_s.append(time.monotonic() - began)
        job.open()
        if ended:
            raise Fault("close() says that all was finished while handlers were still busy")
    if min(took_s) > 1.0:
        raise Fault(
            f"close(0.4) took {min(took_s):.1f} s with four busy workers: the time is for all of "
            "them together, and not for each"
        )
    before = set(threading.enumerate())
    pool = pool_class(4, 4, Job())
    time.sleep(0.05)  # so that they sleep
    workers = set(threading.enumerate()) - before
    close(pool, PATIENCE_S)
    until_s = time.monotonic() + PATIENCE_S
    for worker in workers:
        worker.join(max(0.0, until_s - time.monotonic()))
    if any(worker.is_alive() for worker in workers):
        raise Fault(
            "after close() there are workers that have not ended: how do they hear that no more is "
            "to come?"
        )


def close(pool: Any, timeout_s: float) -> bool:
    """Close it. Raises `Fault` where that does not come back."""
    return bool(
        in_time(
            lambda: pool.close(timeout_s),
            f"close({timeout_s:g}) does not come back",
            timeout_s * 4 + PATIENCE_S,
        )
    )


TRIALS = (
    has_the_methods,
    sleeps_when_there_is_nothing,
    wakes_a_sleeper,
    keeps_its_bound,
    survives_its_handlers,
    ends_in_time,
    loses_no_wake_up,
    has_no_race_for_the_last,
    has_no_race_for_room,
)


def examine(file: Path, name: str) -> str | None:
    """The fault of the class of that name in that file, as a sentence; None: none was found."""
    try:
        pool_class = getattr(_load(file), name)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        for trial in TRIALS:
            trial(pool_class)
    except Fault as fault:
        return str(fault)
    except Exception as error:  # of the learner's own code, wherever it is
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


def main() -> None:
    """Print the fault, and leave without waiting for the threads of a pool that hangs."""
    print(examine(Path(sys.argv[1]), sys.argv[2]) or "", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
