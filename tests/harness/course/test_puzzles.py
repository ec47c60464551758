"""Wrong answers to the puzzles of notebooks 2a and 2b: each is named, and none passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.course.checks import check

COUNTER = """
import threading
class Counter:
    def __init__(self):
        self.value, self.lock = 0, threading.Lock()
    def add(self):
        with self.lock:
            self.value += 1
"""
HALL = """
import threading
class Hall:
    def __init__(self, seats):
        self.free, self.lock = seats, threading.Lock()
    def book(self, pay):
        with self.lock:
            if self.free == 0:
                return False
            self.free -= 1
        paid = False
        try:
            paid = pay()
        finally:
            if not paid:
                with self.lock:
                    self.free += 1
        return paid
"""
ONCE = """
import threading
class Once:
    def __init__(self, make):
        self.make, self.made, self.locks, self.lock = make, {}, {}, threading.Lock()
    def get(self, key):
        with self.lock:
            own = self.locks.setdefault(key, threading.Lock())
        with own:
            if key not in self.made:
                self.made[key] = self.make(key)
            return self.made[key]
"""
GATE = """
import threading, time
class Gate:
    def __init__(self):
        self.changed, self.is_open = threading.Condition(), False
    def wait(self):
        with self.changed:
            while not self.is_open:
                self.changed.wait()
    def open(self):
        with self.changed:
            self.is_open = True
            self.changed.notify_all()
"""
BARRIER = """
import threading
class Barrier:
    def __init__(self, n):
        self.n, self.here, self.round = n, 0, 0
        self.changed = threading.Condition()
    def wait(self):
        with self.changed:
            mine = self.round
            self.here += 1
            if self.here == self.n:
                self.here, self.round = 0, self.round + 1
                self.changed.notify_all()
            while self.round == mine:
                self.changed.wait()
"""
TRANSFER = """
import threading
everything = threading.Lock()
class Account:
    def __init__(self, balance):
        self.balance, self.lock = balance, threading.Lock()
def transfer(source, target, amount):
    if source is target:
        return
    first, second = sorted((source, target), key=id)
    with first.lock, second.lock:
        source.balance -= amount
        target.balance += amount
"""
RIGHT = {"2a.3": COUNTER, "2a.4": HALL, "2a.5": ONCE, "2b.1": GATE, "2b.2": BARRIER,
         "2b.4": TRANSFER}  # fmt: skip
IN_ORDER = "    first, second = sorted((source, target), key=id)\n"
BOTH = "    with first.lock, second.lock:\n"
HELD = "            self.free -= 1\n        paid = False\n"
LAPS = """            if self.here == self.n:
                self.here, self.round = 0, self.round + 1
                self.changed.notify_all()
            while self.round == mine:
                self.changed.wait()
"""

WRONG = {
    # exercise, what is changed, into what, and the words that name it
    "no lock": ("2a.3", "with self.lock:", "if True:", "an update was lost"),
    "a lock for each call": ("2a.3", "with self.lock:", "with threading.Lock():", "one lock for"),
    "the lock for reading alone": (
        "2a.3", "            self.value += 1\n",
        "            value = self.value\n        self.value = value + 1\n", "to the writing",
    ),
    "a lock that is kept": (
        "2a.3", "with self.lock:", "if self.lock.acquire():", "does the first give its lock back",
    ),
    "two at a time": ("2a.3", "self.value += 1", "self.value += 2", "value is 6"),
    "it says nothing": ("2a.4", "        return paid\n", "", "book() gave None"),
    "it sells more than there is": ("2a.4", "self.free == 0", "self.free < 0", "a third seat"),
    "it pays first": (
        "2a.4", "        with self.lock:\n            if self.free == 0:\n",
        "        if not pay():\n            return False\n        pay = lambda: True\n"
        "        with self.lock:\n            if self.free == 0:\n",
        "had to pay for whom there was no seat",
    ),
    "it keeps the seat of who does not pay": (
        "2a.4", "self.free += 1", "pass", "seat of somebody who did not pay",
    ),
    "it forgets that paying may raise": (
        "2a.4", HELD + "        try:\n            paid = pay()\n        finally:\n"
        "            if not paid:\n                with self.lock:\n"
        "                    self.free += 1\n",
        "            self.free -= 1\n        paid = pay()\n        if not paid:\n"
        "            with self.lock:\n                self.free += 1\n",
        "the seat is gone with it",
    ),
    "it pays under the lock": (
        "2a.4", "        return paid\n",
        "        return paid\n    unlocked, one = book, threading.Lock()\n"
        "    def book(self, pay):\n        with self.one:\n            return self.unlocked(pay)\n",
        "what is held while pay() runs",
    ),
    "it takes the seat after paying": (
        "2a.4", "        with self.lock:\n            if self.free == 0:\n"
        "                return False\n            self.free -= 1\n",
        "        if self.free == 0:\n            return False\n        if not pay():\n"
        "            return False\n        pay = lambda: True\n        with self.lock:\n"
        "            self.free -= 1\n",
        "last seat was sold twice",
    ),
    "it takes the seat without a lock": (
        "2a.4", "        with self.lock:\n            if self.free == 0:\n",
        "        if True:\n            if self.free == 0:\n", "(a race)",
    ),
    "it makes anew": ("2a.5", "if key not in self.made:", "if True:", "was made twice"),
    "it looks without a lock": ("2a.5", "with own:", "if True:", "another looked too"),
    "one lock for all keys": ("2a.5", "with own:", "with self.lock:", "who wants another key"),
    "the gate does not hold": ("2b.1", "while not self.is_open:", "while False:", "nobody has op"),
    "it looks again and again": (
        "2b.1", "        with self.changed:\n            while not self.is_open:\n"
        "                self.changed.wait()\n",
        "        while not self.is_open:\n            pass\n", "(busy waiting)",
    ),
    "it sleeps with the lock": (
        "2b.1", "self.changed.wait()", "time.sleep(0.01)", "what does one keep hold of",
    ),
    "it wakes one": ("2b.1", "notify_all()", "notify()", "how many does open() wake"),
    "it wakes nobody": ("2b.1", "self.changed.notify_all()", "pass", "how many does open() wake"),
    "it forgets that it is open": (
        "2b.1", "            while not self.is_open:\n                self.changed.wait()\n",
        "            self.changed.wait()\n", "what remains to be looked at",
    ),
    "an if": ("2b.1", "while not self.is_open:", "if not self.is_open:", "does it look again"),
    "it looks without the lock": (
        "2b.1", "        with self.changed:\n            while not self.is_open:\n"
        "                self.changed.wait()\n",
        "        while not self.is_open:\n            with self.changed:\n"
        "                self.changed.wait()\n", "the waking was lost",
    ),
    "one is enough": ("2b.2", "self.here == self.n:", "self.here == self.n - 1:", "is through"),
    "it waits for one more": ("2b.2", "self.here == self.n:", "self.here > self.n:", "still wait"),
    "it opens once": (
        "2b.2", LAPS, "            self.changed.notify_all()\n"
        "            while self.here < self.n:\n"
        "                self.changed.wait()\n", "one got through alone",
    ),
    "it begins anew too early": (
        "2b.2", LAPS, "            if self.here == self.n:\n                self.here = 0\n"
        "                self.changed.notify_all()\n            else:\n"
        "                while self.here:\n                    self.changed.wait()\n",
        "at some time all of them wait",
    ),
    "it moves to one alone": ("2b.4", "target.balance += amount", "pass", "there are 70 and 100"),
    "first mine, then yours": (
        "2b.4", IN_ORDER, "    first, second = source, target\n", "(a deadlock)",
    ),
    "to itself": (
        "2b.4", "    if source is target:\n        return\n", "", "a Lock cannot be taken twice",
    ),
    "no lock for the money": ("2b.4", BOTH, "    if True:\n", "(a race)"),
    "one of the two locks": ("2b.4", BOTH, "    with first.lock:\n", "held that account's lock"),
    "a lock for all": (
        "2b.4", BOTH, "    with everything, first.lock, second.lock:\n", "one lock for all",
    ),
    "its own lock alone": ("2b.4", BOTH, "    with everything:\n", "held that account's lock"),
}  # fmt: skip


@pytest.mark.parametrize("exercise", RIGHT)
def test_what_is_right_passes(
    exercise: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answer.py"
    file.write_text(RIGHT[exercise], "utf-8")
    assert check(exercise, file)
    assert capsys.readouterr().out == f"Exercise {exercise}: right.\n"


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exercise, old, new, words = WRONG[name]
    assert old in RIGHT[exercise]
    file = tmp_path / "answer.py"
    file.write_text(RIGHT[exercise].replace(old, new, 1), "utf-8")
    assert not check(exercise, file)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        ("2a.1", "AAABBBCCC", "nothing is lost"),
        ("2a.1", "ABABABCCC", "one of the three is lost"),
        ("2a.1", "ABAB", "each is to take part"),
        ("2a.1", "ABCD", "each is to take part"),
        ("2a.1", 7, "each is to take part"),
        ("2a.1", "A" * 31, "30 letters are enough"),
        ("2a.2", 100, "one thread's work lost"),
        ("2a.2", 200, "nothing is lost"),
        ("2a.2", 1, "can its last write be of 1"),
        ("2b.3", "AABB", "both come to their end"),
        ("2b.3", "A", "both are to take part"),
        ("2b.5", 5, "none has a right one"),
        ("2b.5", 2, "Two can eat"),
    ],
)
def test_a_word_that_is_wrong_is_named(
    exercise: str, answer: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check(exercise, answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("2a.1", "ABC ABC ABC"), ("2a.1", "abcabcabc"), ("2a.2", "2"), ("2b.3", "AB"),
     ("2b.3", "B, A"), ("2b.5", 4)],
)  # fmt: skip
def test_a_word_that_is_right_passes(exercise: str, answer: object) -> None:
    assert check(exercise, answer)
