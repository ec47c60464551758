"""Trials of the puzzles of notebook 2a: a counter, a hall with seats, a value made once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from harness.course.examination import Call, Fault, Trial, at_once, disturbed, in_time, main

_ROUNDS = 12  # of a race: each begins anew
_IN_THE_MIDDLE_S = 0.5  # for another thread to come as far as the one before it


# ---- a counter ------------------------------------------------------------------------------


def counts(counter_class: Any) -> None:
    """Three, by one thread."""
    counter = counter_class()
    for number in range(3):
        in_time(
            counter.add,
            "add() does not come back" + (
                " the second time: does the first give its lock back?" if number else ""
            ),
        )  # fmt: skip
    if counter.value != 3:
        raise Fault(f"add() was called three times, and value is {counter.value!r}")


def counts_for_many(counter_class: Any) -> None:
    """Six threads at once, each stopped between reading and writing."""
    for _ in range(_ROUNDS):
        with disturbed(counter_class, in_lines=True):
            counter = counter_class()
            adding = at_once([lambda counter=counter: _add(counter, 5)] * 6)  # type: ignore[misc]
            if not all([call.came_back(10) for call in adding]):  # noqa: C419 (each is looked at)
                raise Fault("six threads add at once, and not all of them come back")
        if counter.value != 30:
            raise Fault(
                f"six threads added 5 each, and value is {counter.value}: an update was lost (a "
                "race). Is it one lock for all of them, and held from the reading to the writing?"
            )


def _add(counter: Any, times: int) -> None:
    for _ in range(times):
        counter.add()


# ---- a hall with seats ----------------------------------------------------------------------


class Payer:
    """A payment that waits until it is let through, if it is `gated`, and then says `outcome`."""

    def __init__(self, outcome: bool = True, gated: bool = False) -> None:
        self.begun, self._gate, self._outcome = threading.Event(), threading.Event(), outcome
        if not gated:
            self._gate.set()

    def __call__(self) -> bool:
        """Pay."""
        self.begun.set()
        self._gate.wait()
        return self._outcome

    def let_through(self) -> None:
        """Whoever waits here goes on."""
        self._gate.set()


def _book(hall: Any, pay: Callable[[], bool]) -> bool:
    booked = in_time(lambda: hall.book(pay), "book() does not come back")
    if not isinstance(booked, bool):
        raise Fault(f"book() gave {booked!r}: it must say True (booked) or False")
    return booked


def sells_what_there_is(hall_class: Any) -> None:
    """Two seats, three who want one."""
    hall = hall_class(2)
    if not (_book(hall, Payer()) and _book(hall, Payer())):
        raise Fault("there was a seat and it was paid for, and book() said False")
    if hall.free != 0:
        raise Fault(f"two of two seats were sold, and free is {hall.free!r}")
    late = Payer()
    if _book(hall, late):
        raise Fault("it sold a third seat where there were 2")
    if late.begun.is_set():
        raise Fault("somebody had to pay for whom there was no seat")


def gives_back_what_is_not_paid(hall_class: Any) -> None:
    """A payment that fails, in both ways, costs no seat."""
    hall = hall_class(1)
    if _book(hall, Payer(outcome=False)):
        raise Fault("pay() said False, and the seat was booked all the same")

    def broken() -> bool:
        raise OSError("on purpose: the card reader is broken")

    first_free = hall.free
    raising = Call(lambda: hall.book(broken))
    try:
        raising.came_back()
    except Fault:
        pass  # that book() raises what pay() raised is as good as False
    if first_free != 1:
        raise Fault("the seat of somebody who did not pay is gone")
    if hall.free != 1:
        raise Fault("pay() raised, and the seat is gone with it")
    if not _book(hall, Payer()):
        raise Fault("after a payment that failed nobody can book any more")


def lets_several_pay(hall_class: Any) -> None:
    """While one pays, another can."""
    hall, slow = hall_class(2), Payer(gated=True)
    first = Call(lambda: hall.book(slow))
    slow.begun.wait(3)
    second = Call(lambda: hall.book(Payer()))
    came = second.came_back()
    slow.let_through()
    if not came:
        raise Fault("while one pays, nobody else can book: what is held while pay() runs?")
    if not first.came_back() or not first.found or not second.found or hall.free != 0:
        raise Fault(f"two booked at the same time, and of two seats {hall.free} are free")


def keeps_the_last_seat(hall_class: Any) -> None:
    """While one pays for the last seat, it is not there for another."""
    hall, slow = hall_class(1), Payer(gated=True)
    first = Call(lambda: hall.book(slow))
    slow.begun.wait(3)
    second = Call(lambda: hall.book(Payer()))
    second.came_back(0.5)
    slow.let_through()
    first.came_back()
    second.came_back()
    if first.found and second.found:
        raise Fault(
            "the last seat was sold twice: while the first was paying, what did the second see?"
        )


def sells_no_seat_twice(hall_class: Any) -> None:
    """Six at once, and two seats."""
    for _ in range(_ROUNDS):
        with disturbed(hall_class, in_lines=True):
            hall = hall_class(2)
            booking = at_once([lambda hall=hall: hall.book(Payer())] * 6)  # type: ignore[misc]
            sold = [call.found for call in booking if call.came_back()].count(True)
        if sold > 2:
            raise Fault(
                f"six booked at once, and {sold} of 2 seats were sold: between looking and taking "
                "another got in (a race)"
            )
        if sold < 2 or hall.free != 0:
            raise Fault(
                f"six booked at once, {sold} seats were sold, and {hall.free} of 2 are free: the "
                "number of seats does not fit what was sold (a race)"
            )


# ---- a value made once ----------------------------------------------------------------------


class Maker:
    """What makes values, slowly: how often, of which key; some keys wait for a gate."""

    def __init__(self, gated: str = "") -> None:
        self.made: list[str] = []
        self.begun, self._gate, self._gated = threading.Event(), threading.Event(), gated
        self._lock = threading.Lock()

    def __call__(self, key: str) -> list[str]:
        """A value for that key, a new one each time."""
        with self._lock:
            self.made.append(key)
        self.begun.set()
        if key == self._gated:
            self._gate.wait()
        return [key]

    def let_through(self) -> None:
        """Whoever waits here goes on."""
        self._gate.set()


def remembers(once_class: Any) -> None:
    """The second time the same value, and nothing is made."""
    maker = Maker()
    once = once_class(maker)
    first, second, other = (
        in_time(lambda key=key: once.get(key), "get() does not come back")  # type: ignore[misc]
        for key in ("a", "a", "b")
    )
    if first != ["a"] or other != ["b"]:
        raise Fault(f"get('a') gave {first!r} where make('a') gives ['a']")
    if first is not second or maker.made != ["a", "b"]:
        raise Fault("get('a') was called twice, and the value was made twice")


def makes_it_once_while_it_is_made(once_class: Any) -> None:
    """One asks while the value is just being made for another."""
    maker = Maker(gated="a")
    once = once_class(maker)
    first = Call(lambda: once.get("a"))
    maker.begun.wait(3)
    second = Call(lambda: once.get("a"))
    second.came_back(_IN_THE_MIDDLE_S)
    maker.let_through()
    came = [first.came_back(), second.came_back()]
    if len(maker.made) > 1:
        raise Fault(
            "somebody asked for what was just being made, and it was made once more: between "
            "looking and making another looked too (a race)"
        )
    if not all(came) or first.found is not second.found:
        raise Fault("two asked for the same at once, and not both of them got it")


def makes_once(once_class: Any) -> None:
    """Six ask at once for the same."""
    for _ in range(_ROUNDS):
        maker = Maker()
        with disturbed(once_class, in_lines=True):
            once = once_class(maker)
            asking = at_once([lambda once=once: once.get("a")] * 6)  # type: ignore[misc]
            got = [call.found for call in asking if call.came_back()]
        if len(maker.made) > 1:
            raise Fault(
                f"six asked for the same at once, and it was made {len(maker.made)} times: between "
                "looking and making another looked too (a race)"
            )
        if len(got) < 6 or any(value != ["a"] for value in got):
            raise Fault("six asked for the same at once, and not each of them got it")


def makes_two_at_once(once_class: Any) -> None:
    """While one key is made, another can be had."""
    maker = Maker(gated="slow")
    once = once_class(maker)
    slow = Call(lambda: once.get("slow"))
    maker.begun.wait(3)
    came = Call(lambda: once.get("quick")).came_back()
    maker.let_through()
    slow.came_back()
    if not came:
        raise Fault(
            "while the value of one key is made, who wants another key waits: which lock is held "
            "while make() runs, and whose is it?"
        )


EXAMS: dict[str, Sequence[Trial]] = {
    "counter": (counts, counts_for_many),
    "hall": (
        sells_what_there_is,
        gives_back_what_is_not_paid,
        lets_several_pay,
        keeps_the_last_seat,
        sells_no_seat_twice,
    ),
    "once": (remembers, makes_it_once_while_it_is_made, makes_once, makes_two_at_once),
}

if __name__ == "__main__":
    main(EXAMS)
