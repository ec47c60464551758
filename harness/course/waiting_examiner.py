"""Trials of the puzzles of notebook 2b: a gate, a barrier, a transfer between two accounts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from harness.course.examination import (
    Call,
    Fault,
    Trial,
    at_once,
    disturbed,
    in_time,
    main,
    sleeps,
)

_ROUNDS = 15
_REST_S = 0.5  # until another thread has taken a lock too, where one can
_ASLEEP_S = 0.1  # so that they sleep: no event tells that a thread has begun to wait


# ---- a gate ---------------------------------------------------------------------------------


def holds_until_it_opens(gate_class: Any) -> None:
    """Three wait, sleeping, and all of them come through when it opens."""
    gate = gate_class()
    waiting = [Call(gate.wait) for _ in range(3)]
    if waiting[0].came_back(0.2):
        raise Fault("wait() came back although nobody has opened the gate")
    sleeps("threads that wait at the gate are")
    in_time(
        gate.open,
        "open() does not come back while others wait: what does one keep hold of while one sleeps?",
    )
    through = [call.came_back(1.5) for call in waiting].count(True)
    if through < 3:
        raise Fault(
            f"three waited when the gate was opened, and {through} came through: how many does "
            "open() wake?"
        )


def stays_open(gate_class: Any) -> None:
    """Who comes later goes through at once, and it may be opened again."""
    gate = gate_class()
    for _ in range(2):
        in_time(gate.open, "open() does not come back")
    in_time(
        gate.wait,
        "the gate was opened, and who comes afterwards waits for ever: the waking is over, and "
        "what remains to be looked at?",
    )


def is_not_opened_by_waking(gate_class: Any) -> None:
    """Who is woken without a reason looks again."""
    gate = gate_class()
    if not isinstance(getattr(gate, "changed", None), threading.Condition):
        return
    waiting = Call(gate.wait)
    time.sleep(_ASLEEP_S)
    with gate.changed:
        gate.changed.notify_all()
    if waiting.came_back(0.3):
        raise Fault(
            "a thread that was woken while the gate was shut went through: does it look again when "
            "wait() of the condition returns?"
        )


def loses_no_wake_up(gate_class: Any) -> None:
    """It opens at the moment at which somebody goes to sleep."""
    for _ in range(60):
        with disturbed(gate_class):
            gate = gate_class()
            waiting, _opening = at_once([gate.wait, gate.open])
            if not waiting.came_back():
                raise Fault(
                    "the gate was opened at the moment at which a thread went to sleep, and it "
                    "never woke up: between looking and sleeping the waking was lost"
                )


# ---- a barrier ------------------------------------------------------------------------------


def lets_nobody_through_early(barrier_class: Any) -> None:
    """Two of three wait; the third lets all through."""
    barrier = barrier_class(3)
    early = [Call(barrier.wait) for _ in range(2)]
    if any([call.came_back(0.15) for call in early]):  # noqa: C419 (each is looked at)
        raise Fault("two of three have come, and one of them is through already")
    sleeps("threads that wait at the barrier are")
    third = Call(barrier.wait)
    through = [call.came_back() for call in (*early, third)].count(True)
    if through < 3:
        raise Fault(f"all three have come, and {3 - through} of them still wait")


def works_again(barrier_class: Any) -> None:
    """The next time it is a barrier still."""
    barrier = barrier_class(2)
    for call in at_once([barrier.wait, barrier.wait]):
        call.came_back()
    alone = Call(barrier.wait)
    if alone.came_back(0.3):
        raise Fault("the second time one got through alone: what is left of the first time?")
    if not Call(barrier.wait).came_back() or not alone.came_back():
        raise Fault("it works once: the second time all have come, and not all come through")


def nobody_laps(barrier_class: Any) -> None:
    """Three go through it fifteen times; nobody is a round ahead."""
    with disturbed(barrier_class):
        barrier = barrier_class(3)
        arrived = [0, 0, 0]
        ahead: list[int] = []

        def go(number: int) -> None:
            for round_number in range(1, _ROUNDS + 1):
                arrived[number] = round_number
                barrier.wait()
                if min(arrived) < round_number:
                    ahead.append(number)

        going = at_once([lambda number=number: go(number) for number in range(3)])  # type: ignore[misc]
        ended = [call.came_back(15) for call in going]
    if ahead:
        raise Fault(
            "a quick thread came back to the barrier before the slow ones had left it, and got "
            "through a round ahead of them"
        )
    if not all(ended):
        raise Fault(
            "three threads go through again and again, and at some time all of them wait: a quick "
            "one came back before a slow one had seen that it may go"
        )


# ---- a transfer -----------------------------------------------------------------------------


def _accounts(transfer: Any, count: int) -> list[Any]:
    """New accounts with 100 each, of the class beside the function."""
    account_class = getattr(sys.modules[transfer.__module__], "Account", None)
    if account_class is None:
        raise Fault("the class Account is gone")
    return [account_class(100) for _ in range(count)]


def moves(transfer: Any) -> None:
    """From one to another, and the locks are free again."""
    first, second = _accounts(transfer, 2)
    in_time(lambda: transfer(first, second, 30), "transfer() does not come back")
    if (first.balance, second.balance) != (70, 130):
        raise Fault(
            f"30 of 100 were moved to another 100, and there are {first.balance} and "
            f"{second.balance}"
        )
    in_time(
        lambda: transfer(second, first, 30),
        "the second transfer does not come back: are both locks given back?",
    )


def ends_for_itself(transfer: Any) -> None:
    """From an account to itself."""
    (account,) = _accounts(transfer, 1)
    in_time(
        lambda: transfer(account, account, 10),
        "a transfer from an account to itself does not come back: a Lock cannot be taken twice, "
        "not by its holder either",
    )
    if account.balance != 100:
        raise Fault(f"10 were moved from an account to itself, and it has {account.balance}")


class _Meeting:
    """Each thread waits here once: until another has come, or for a moment."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._was_here = threading.local()
        self._came = 0

    def wait(self) -> None:
        """Only the first call of a thread waits."""
        if hasattr(self._was_here, "once"):
            return
        self._was_here.once = True
        with self._changed:
            self._came += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._came > 1, _REST_S)


class _MeetingLock:
    """A lock; who has taken it goes to the meeting. Where two begin with different ones, each of
    them then holds its first."""

    def __init__(self, lock: Any, meeting: _Meeting) -> None:
        self._lock, self._meeting = lock, meeting

    def acquire(self, *arguments: Any, **named: Any) -> Any:
        """As the lock does."""
        taken = self._lock.acquire(*arguments, **named)
        if taken:
            self._meeting.wait()
        return taken

    def release(self) -> None:
        """As the lock does."""
        self._lock.release()

    def locked(self) -> Any:
        """As the lock does."""
        return self._lock.locked()

    def __enter__(self) -> Any:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def takes_both_in_one_order(transfer: Any) -> None:
    """There and back, where both hold their first lock before either takes its second."""
    a, b = _accounts(transfer, 2)
    meeting = _Meeting()
    for account in (a, b):
        if hasattr(account, "lock"):
            account.lock = _MeetingLock(account.lock, meeting)
    moving = at_once([lambda: transfer(a, b, 10), lambda: transfer(b, a, 10)])
    if not all([call.came_back() for call in moving]):  # noqa: C419 (each is looked at)
        raise Fault(
            "two transfers, there and back, and neither comes back: each holds a lock and waits "
            "for the one that the other holds (a deadlock)"
        )


def does_not_deadlock(transfer: Any) -> None:
    """There and back at the same time, and around in a circle."""
    for _ in range(_ROUNDS):
        with disturbed(transfer):
            a, b, c = _accounts(transfer, 3)
            ways = [(a, b), (b, a), (b, c), (c, a)]
            moving = at_once([lambda way=way: transfer(*way, 10) for way in ways])  # type: ignore[misc]
            came = [call.came_back() for call in moving]
        if not all(came):
            raise Fault(
                f"four transfers at once in a circle, and {came.count(False)} do not come back: "
                "each holds a lock and waits for one that another holds (a deadlock)"
            )


def loses_no_money(transfer: Any) -> None:
    """Many at once; and nobody touches an account whose lock another holds."""
    for _ in range(_ROUNDS):
        with disturbed(transfer, in_lines=True):
            a, b = _accounts(transfer, 2)
            moving = at_once([lambda a=a, b=b: transfer(a, b, 1)] * 6)  # type: ignore[misc]
            for call in moving:
                call.came_back()
        if (a.balance, b.balance) != (94, 106):
            raise Fault(
                f"six moved 1 each from 100 to 100 at once, and there are {a.balance} and "
                f"{b.balance}: an update was lost (a race)"
            )


def respects_the_locks(transfer: Any) -> None:
    """It waits for the locks of its own two accounts, and for no others."""
    a, b, c, d = _accounts(transfer, 4)
    for held, other in ((c, d), (d, c)):
        with held.lock:
            stuck = Call(lambda other=other, held=held: transfer(other, held, 1))  # type: ignore[misc]
            if stuck.came_back(0.2):
                raise Fault("it changed an account while somebody else held that account's lock")
            free = Call(lambda: transfer(a, b, 1)).came_back()
        stuck.came_back()
        if not free:
            raise Fault(
                "a transfer waits for another that has nothing to do with its accounts: is there "
                "one lock for all?"
            )


EXAMS: dict[str, Sequence[Trial]] = {
    "gate": (holds_until_it_opens, stays_open, is_not_opened_by_waking, loses_no_wake_up),
    "barrier": (lets_nobody_through_early, works_again, nobody_laps),
    "transfer": (
        moves,
        ends_for_itself,
        takes_both_in_one_order,
        does_not_deadlock,
        loses_no_money,
        respects_the_locks,
    ),
}

if __name__ == "__main__":
    main(EXAMS)
