"""Threads go on line by line in the order that is asked for; what waits, and for whom, is seen."""

from __future__ import annotations

import pytest

from harness.core.errors import LabError
from harness.course.interleaving import Interleaving, Lock


def test_an_update_is_lost_in_one_order_and_in_another_not() -> None:
    account = {"balance": 0}

    def deposit() -> None:
        balance = account["balance"]
        account["balance"] = balance + 10

    seen = Interleaving(deposit, "ABAB")
    assert account["balance"] == 10
    assert "".join(step.thread for step in seen.steps) == "ABAB"
    account["balance"] = 0
    Interleaving(deposit, "AABB")
    assert account["balance"] == 20
    account["balance"] = 0
    assert len(Interleaving(deposit, "AB").steps) == 4  # the rest goes on to its end
    assert account["balance"] == 20 - 10


def test_who_waits_for_a_lock_uses_up_its_turn() -> None:
    lock, done = Lock(), list[str]()

    def careful() -> None:
        with lock:
            done.append("one")
            done.append("two")

    seen = Interleaving(careful, "ABAABB")
    assert done == ["one", "two"] * 2
    assert [step.waits_for for step in seen.steps].count("A") == 3
    assert not seen.deadlock
    assert "B: with lock: (waits for A)" in repr(seen.plot("here"))
    with lock:  # like any other where nobody watches
        assert not seen.errors


def test_a_deadlock_is_seen_and_leaves_no_thread_behind() -> None:
    left, right = Lock(), Lock()

    def one() -> None:
        with left:  # noqa: SIM117 (they are two steps)
            with right:
                pass

    def other() -> None:
        with right:  # noqa: SIM117 (they are two steps)
            with left:
                pass

    seen = Interleaving({"A": one, "B": other}, "AB")
    assert seen.deadlock
    assert "ends in a deadlock" in repr(seen.plot())
    with left, right:  # who was abandoned has given them back
        pass
    assert not Interleaving({"A": one, "B": other}, "AAAAAB").deadlock


def test_what_a_thread_raises_is_kept() -> None:
    def broken() -> None:
        raise ValueError("on purpose")

    assert Interleaving(broken, "A").errors == ["ValueError: on purpose"]


@pytest.mark.parametrize(
    ("order", "words"),
    [("", "letters"), ("A1", "letters"), ("ABCDEFG", "at most 6"), ("AC", "nothing for thread C")],
)
def test_an_order_that_is_none_is_one_sentence(order: str, words: str) -> None:
    with pytest.raises(LabError, match=words):
        Interleaving(dict.fromkeys("ABDEFG", print), order)
