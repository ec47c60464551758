"""The puzzles of notebooks 2a and 2b that are answered with a word: orders of threads."""

from __future__ import annotations

from typing import Any

from harness.core.errors import LabError
from harness.course.interleaving import Interleaving, Lock

_MOST_LETTERS = 30


def _order(answer: Any) -> str:
    """The letters of an order, whatever is between them. Raises `LabError` for too many."""
    text = "".join(str(answer).replace(",", " ").split()).upper()
    if len(text) > _MOST_LETTERS:
        raise LabError(f"{_MOST_LETTERS} letters are enough")
    return text


def lost_updates(answer: Any) -> bool | str:
    """Whether in that order of A, B and C two of three deposits of 10 are lost."""
    account = {"balance": 0}

    def deposit() -> None:
        balance = account["balance"]
        balance = balance + 10
        account["balance"] = balance

    try:
        order = _order(answer)
        if set(order) != set("ABC"):
            return "There are three threads, A, B and C, and each is to take part."
        Interleaving(deposit, order)
    except LabError as error:
        return f"{str(error)[0].upper()}{str(error)[1:]}."
    if account["balance"] == 10:
        return True
    if account["balance"] == 30:
        return (
            "In this order nothing is lost: the balance is 30. Who has read, and not yet written, "
            "when another reads?"
        )
    return "In this order one of the three is lost, and 20 is left: what has the third read?"


def deadlock(answer: Any) -> bool | str:
    """Whether that order of A and B ends in a deadlock."""
    left, right = Lock("left"), Lock("right")

    def left_first() -> None:
        with left:  # noqa: SIM117 (they are two steps)
            with right:
                pass

    def right_first() -> None:
        with right:  # noqa: SIM117 (they are two steps)
            with left:
                pass

    try:
        order = _order(answer)
        if set(order) != set("AB"):
            return "There are two threads, A and B, and both are to take part."
        seen = Interleaving({"A": left_first, "B": right_first}, order)
    except LabError as error:
        return f"{str(error)[0].upper()}{str(error)[1:]}."
    if seen.deadlock:
        return True
    return "In this order both come to their end. What must each hold when it asks for the other?"
