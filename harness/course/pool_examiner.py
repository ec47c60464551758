"""Trials of a pool: `python -m harness.course.pool_examiner FILE CLASS [whole|workers]`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from harness.course.examination import (
    PATIENCE_S,
    Fault,
    Job,
    Trial,
    at_once,
    deaths,
    disturbed,
    in_time,
    main,
    sleeps,
)

_ROUNDS = 15  # of a race: each is a new pool and some threads that meet
_WAKES = 150
_AFTER_S = 0.3  # for a pool to end after a trial that is not about its end


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
    if job.done != [0]:
        raise Fault(f"0 was submitted, and the handler was called with {job.done[0]!r}")
    close(pool, _AFTER_S)


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
        close(pool, _AFTER_S)


def _filled(pool_class: Any) -> tuple[Job, Any]:
    """A pool of two workers that are busy, with three that wait. Raises `Fault` where it is none
    or the sixth is not refused."""
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
    return job, pool


def keeps_its_bound(pool_class: Any) -> None:
    """Two workers and room for three: two are handled, three wait, and the sixth is refused."""
    job, pool = _filled(pool_class)
    length = in_time(lambda: len(pool), "len() does not come back")
    if length != 3:
        raise Fault(f"three wait and two are being handled, and len() says {length}")
    job.open()
    if not job.happened(lambda: sorted(job.done) == [0, 1, 2, 3, 4]):
        raise Fault("five were taken, and not all of them were handled: does a worker go on?")
    close(pool, _AFTER_S)


def finishes_what_it_took(pool_class: Any) -> None:
    """`close` while two are handled and three wait."""
    job, pool = _filled(pool_class)
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
        close(pool, _AFTER_S)


def sleeps_when_there_is_nothing(pool_class: Any) -> None:
    """Workers that have nothing to do are not awake."""
    pool = pool_class(4, 3, Job())
    time.sleep(0.05)
    sleeps("workers that have nothing to do are")
    close(pool, _AFTER_S)


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
            offers = at_once([lambda pool=pool: pool.submit(object())] * 6)  # type: ignore[misc]
            taken = [offer.found for offer in offers if offer.came_back()].count(True)
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
            job.happened(lambda job=job, taken=taken: bool(died) or len(job.done) >= taken)  # type: ignore[misc]
            close(pool, PATIENCE_S)
        if died:
            raise Fault(
                f"a worker died of {type(died[0]).__name__}: between looking whether there is "
                "something and taking it another took it (a race)"
            )
        if sorted(job.done) != list(range(taken)):
            raise Fault("when several take at once, some were handled twice or never (a race)")


def ends_in_time(pool_class: Any) -> None:
    """`close` keeps to its time, whatever the workers do."""
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


def ends_its_threads(pool_class: Any) -> None:
    """After `close` no worker is alive."""
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


def left_open(trial: Callable[[Any], None]) -> Trial:
    """The same trial of a pool whose `close` is not written yet: nobody calls it."""

    def tried(pool_class: Any) -> None:
        if not isinstance(pool_class, type):
            raise Fault(f"the pool is to be a class, and it is {pool_class!r}")
        open_still = {"close": lambda self, timeout: True, "__module__": pool_class.__module__}
        trial(type(pool_class.__name__, (pool_class,), open_still))

    return tried


_AT_WORK: Sequence[Trial] = (
    has_the_methods,
    sleeps_when_there_is_nothing,
    wakes_a_sleeper,
    keeps_its_bound,
    survives_its_handlers,
)
_RACES: Sequence[Trial] = (loses_no_wake_up, has_no_race_for_the_last, has_no_race_for_room)
EXAMS = {
    "whole": (*_AT_WORK, finishes_what_it_took, ends_in_time, ends_its_threads, *_RACES),
    "workers": tuple(left_open(trial) for trial in (*_AT_WORK, *_RACES)),
}

if __name__ == "__main__":
    main(EXAMS)
