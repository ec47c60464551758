"""Trials of a bounded queue: `python -m harness.course.queue_examiner FILE CLASS`."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

from harness.course.examination import (
    PATIENCE_S,
    Call,
    Fault,
    Trial,
    at_once,
    disturbed,
    in_time,
    main,
    sleeps,
    slowly,
)

_ROUNDS = 15  # of a race: each is a new queue and some threads that meet
_WAKES = 100
_STEP_S = 0.003  # of somebody who is slow
_SETTLING_S = (0.05, 0.05, 0.05, 0.2, 0.6)
_WAITS = "put() does not come back on a full queue: it is to say False at once, and not to wait"
_HELD = (
    "put() does not come back while somebody sleeps in get(): what does one keep hold of while one "
    "sleeps?"
)
_UNHEARD = (
    "an item was put while somebody slept in get(), and get() did not come back: who tells a "
    "sleeper that something has changed?"
)


def put(queue: Any, item: Any, fault: str = _WAITS) -> bool:
    """Offer one to the queue. Raises `Fault` where that waits or says nothing."""
    taken = in_time(lambda: queue.put(item), fault)
    if not isinstance(taken, bool):
        raise Fault(f"put() gave {taken!r}: it must say True (taken) or False (no room)")
    return taken


def keeps_the_order(queue_class: Any) -> None:
    """First come, first served, and each once."""
    queue = queue_class(5)
    if not all(put(queue, number) for number in (1, 2, 3)):
        raise Fault("put() gave False although there was room")
    if len(queue) != 3:
        raise Fault(f"three were put, and len() says {len(queue)}")
    waits = "three were put, and get() does not come back"
    got = [in_time(queue.get, waits) for _ in range(3)]
    if sorted(got, key=str) != [1, 2, 3]:
        raise Fault(f"1, 2 and 3 were put, and get() gave {', '.join(map(str, got))}")
    if got != [1, 2, 3]:
        raise Fault(f"1, 2 and 3 were put, and get() gave {got}: the oldest is to come first")
    if len(queue) != 0:
        raise Fault(f"three were put and three taken, and len() says {len(queue)}")


def keeps_its_bound(queue_class: Any) -> None:
    """Room for three; an item taken makes room for one."""
    queue = queue_class(3)
    waiting = [put(queue, number) for number in range(6)].count(True)
    if waiting == 6:
        raise Fault("the queue has no bound: nothing was ever refused")
    if waiting != 3:
        raise Fault(f"with room for 3 it let {waiting} wait: look at the comparison with the size")
    in_time(queue.get, "get() does not come back from a full queue")
    if not put(queue, 6):
        raise Fault("one was taken from a full queue, and still nothing more is let in")


def sleeps_until_there_is_something(queue_class: Any) -> None:
    """`get` of an empty queue comes back with what is put later, and does not turn meanwhile."""
    queue = queue_class(3)
    getting = Call(queue.get)
    if getting.came_back(0.2):
        raise Fault(
            f"get() of an empty queue came back with {getting.found!r}: it is to sleep until there "
            "is something"
        )
    sleeps("a thread that waits in get() is")
    put(queue, "late", _HELD)
    if not getting.came_back():
        raise Fault(_UNHEARD)
    if getting.found != "late":
        raise Fault(f"'late' was put for the one that slept, and get() gave {getting.found!r}")


def wakes_every_sleeper(queue_class: Any) -> None:
    """Three sleep, three come one right after the other, before who is woken has taken anything;
    again after longer, since a busy machine takes a while to have them asleep, and no event tells
    that a thread has begun to wait."""
    for settling_s in _SETTLING_S:
        queue = queue_class(5)
        sleepers = [Call(queue.get) for _ in range(3)]
        time.sleep(settling_s)
        for offer in at_once([lambda queue=queue: queue.put("one")] * 3):  # type: ignore[misc]
            if not offer.came_back():
                raise Fault(_HELD)
        if not all(sleeper.came_back() for sleeper in sleepers):
            raise Fault(
                "three slept in get() and three were put one right after the other, and not all "
                "of them woke up: how many does one put wake, and when?"
            )


def loses_no_wake_up(queue_class: Any) -> None:
    """One is put at whatever moment another is about to sleep, again and again."""
    with disturbed(queue_class):
        queue = queue_class(3)
        for _ in range(_WAKES):
            getting, putting = at_once([queue.get, lambda: queue.put("one")])
            if not putting.came_back():
                raise Fault(_HELD)
            if not getting.came_back():
                raise Fault(
                    "one was put at the moment at which another went to sleep in get(), and the "
                    "sleeper never heard of it: the wake-up was lost"
                )


def has_no_race_for_room(queue_class: Any) -> None:
    """Many put at once where there is room for two."""
    for _ in range(_ROUNDS):
        with disturbed(queue_class, in_lines=True):
            queue = queue_class(2)
            offers = at_once([lambda queue=queue: queue.put("one")] * 6)  # type: ignore[misc]
            taken = [offer.found for offer in offers if offer.came_back()].count(True)
        if taken > 2:
            raise Fault(
                f"six put at once where there was room for 2, and {taken} were let in: between "
                "looking at the length and adding another got in (a race)"
            )


def has_no_race_for_the_last(queue_class: Any) -> None:
    """Many take at once; each item goes to one of them."""
    for _ in range(_ROUNDS):
        with disturbed(queue_class, in_lines=True):
            queue = queue_class(20)
            takers = [Call(queue.get) for _ in range(4)]
            for number in range(4):
                put(queue, number, _HELD)
            _each_got_one(takers)


def has_no_race_with_who_comes_late(queue_class: Any) -> None:
    """One sleeps in `get`; others come while an item is put, and may be the first at it."""
    for _ in range(_ROUNDS):
        queue = queue_class(20)
        takers = [Call(queue.get)]
        time.sleep(_STEP_S)  # so that it sleeps
        putting = Call(slowly(queue_class, lambda queue=queue: queue.put(0), _STEP_S))  # type: ignore[misc]
        time.sleep(random.random() * 4 * _STEP_S)
        takers += [Call(queue.get) for _ in range(3)]
        if not putting.came_back():
            raise Fault(_HELD)
        for number in range(1, 4):
            put(queue, number, _HELD)
        _each_got_one(takers)


def _each_got_one(takers: Sequence[Call]) -> None:
    """Of the items 0 to 3. Raises `Fault` where one has another, or none."""
    ended = all(_came_back(taker) for taker in takers)
    if not ended or sorted((taker.found for taker in takers), key=str) != [0, 1, 2, 3]:
        raise Fault(
            "four were put while four threads were in get(), and not each of them got one: "
            "between being woken and taking, another took it (a race)"
        )


def _came_back(taker: Call) -> bool:
    try:
        return taker.came_back(PATIENCE_S)
    except Fault as fault:
        raise Fault(
            f"with four threads in get(), {fault}: between being woken and taking, another took it "
            "(a race)"
        ) from None


EXAMS: dict[str, Sequence[Trial]] = {
    "queue": (
        keeps_the_order,
        keeps_its_bound,
        sleeps_until_there_is_something,
        wakes_every_sleeper,
        loses_no_wake_up,
        has_no_race_for_room,
        has_no_race_for_the_last,
        has_no_race_with_who_comes_late,
    )
}

if __name__ == "__main__":
    main(EXAMS)
