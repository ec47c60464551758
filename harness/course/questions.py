"""The questions that each chapter asks before it measures: what is asked, in which unit, and how
near a prediction must be to count as right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.course.checks import number

SERVERS = ("thread-per-request", "thread-pool")
QUEUES = ("10,000", "200", "newest first", "drop expired")
STEPS = ("dispatch", "read", "parse", "rate limit", "decode", "validate", "write", "close")


@dataclass(frozen=True, slots=True)
class Question:
    """`factor`: right if neither is more than so many times the other; `points`: right if they
    differ by no more; `choices`: right if it is that one. One of the three is given."""

    text: str
    unit: str = ""
    factor: float | None = None
    points: float | None = None
    choices: Sequence[str] = ()

    @property
    def counts(self) -> str:
        """How near is right, in words."""
        if self.choices:
            return "right or wrong"
        if self.factor is not None:
            return f"right within a factor of {self.factor:g}"
        return f"right within {self.points:g} points"

    def read(self, given: Any) -> float | str:
        """The prediction that somebody gave: a number in the question's unit, or one of its
        choices. Raises `ValueError` with a sentence for what is neither."""
        return self._choice(given) if self.choices else self._number(given)

    def _choice(self, given: Any) -> str:
        wanted = str(given).strip().lower().replace("_", " ").replace("-", " ")
        plain = {choice.lower().replace("-", " "): choice for choice in self.choices}
        if wanted in plain:
            return plain[wanted]
        near = [choice for text, choice in plain.items() if wanted and wanted in text]
        if len(near) != 1:
            raise ValueError(f"{given!r} is none of {', '.join(self.choices)}")
        return near[0]

    def _number(self, given: Any) -> float:
        text = str(given).strip()
        if self.unit and self.unit != "%":
            text = text.removesuffix(self.unit)
        value = number(text)
        if value is None or not math.isfinite(value):
            raise ValueError(f"{given!r} is no number (in {self.unit})")
        if text.endswith("%"):
            if self.unit != "%":
                raise ValueError(f"{given!r} is a share, and asked is a number of {self.unit}")
            value *= 100
        if value < 0:
            raise ValueError(f"{given!r} is less than nothing")
        if self.unit == "%" and value > 100:
            raise ValueError(f"{given!r} is more than all of them (100 %)")
        return value

    def right(self, predicted: float | str, result: float | str) -> bool:
        """Whether a prediction counts as right."""
        if isinstance(predicted, str) or isinstance(result, str):
            return predicted == result
        if self.factor is None:
            return abs(predicted - result) <= (self.points or 0.0)
        small, large = sorted((predicted, result))
        return small == large or (small > 0 and large / small <= self.factor)

    def shown(self, value: float | str) -> str:
        """A value with its unit."""
        return value if isinstance(value, str) else f"{plain_number(value)} {self.unit}".strip()


def plain_number(value: float) -> str:
    """Three figures, without an exponent: 1,250, 12.5, 0.083."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.2e}"


QUESTIONS = {
    "0.1": Question("share of the requests that thread-per-request answers within a second, at "
                    "2,000 a second", "%", points=10),
    "0.2": Question("median response time of thread-per-request over thread-pool's", "times",
                    factor=1.5),
    "0.3": Question("which of the two makes more context switches", choices=SERVERS),
    "1.1": Question("which step takes longest in thread-per-request", choices=STEPS),
    "1.2": Question("share of a request's time in thread-per-request that is useful work", "%",
                    points=10),
    "1.3": Question("a whole request in thread-per-request over one in thread-pool", "times",
                    factor=1.5),
    "2.1": Question("start of a thread that does nothing", "µs", factor=2),
    "2.2": Question("memory that 100 waiting threads take", "MiB", factor=3),
    "2.3": Question("threads alive on average, at 500 requests a second", "threads", factor=3),
    "2a.1": Question("share of the 20 orders of two deposits, three lines each, in which one of "
                     "the two is lost", "%", points=10),
    "2a.2": Question("share of the 200,000 additions of two threads that are missing at the end",
                     "%", points=5),
    "2b.1": Question("share of the ten orders of three lines (look, decide, go to sleep) and two "
                     "(set, wake) in which the first thread sleeps for ever", "%", points=10),
    "2b.2": Question("share of the tables of five at which everybody waits for ever, if they move "
                     "in a random order", "%", points=10),
    "3.1": Question("good answers in the last of four seconds, as a share of the 800 requests a "
                    "second that come in, of 16 workers for 40 ms each, with a queue for 10,000",
                    "%", points=10),
    "3.2": Question("the same with a queue for 200", "%", points=10),
    "3.3": Question("whose good answers have the shortest median", choices=QUEUES),
    "4.1": Question("share of requests that come at random moments and take longer than 100 ms, "
                    "where one second in four is a stall", "%", points=10),
    "4.2": Question("the same share as four clients see it who wait for each answer, and count "
                    "from when they sent", "%", points=5),
    "4.3": Question("how many times as wide the interval of CPU per request is by whole trials "
                    "as in turns", "times", factor=2),
    "5.1": Question("context switches of thread-pool over thread-per-request's, at 2,000 a second",
                    "times", factor=2),
    "5.2": Question("two threads that count, half of it each, over one thread that counts it all",
                    "times", factor=1.3),
    "5.3": Question("answer after 1 ms, asked for beside a thread of the same program that counts",
                    "ms", factor=2),
    "6.1": Question("share of the document's claims that hold in Python", "%", points=10),
    "6.2": Question("share of them that hold in C++, the document's language", "%", points=10),
    "6.3": Question("share of the checks of the document against itself that fail", "%",
                    points=10),
    "7.1": Question("p99 response time of thread-pool at 10,000 a second, which the model has not "
                    "seen", "ms", factor=2),
    "7.2": Question("median response time of thread-per-request at 10,000 a second", "ms",
                    factor=2),
    "7.3": Question("share of the model's predictions that are within the error that it states",
                    "%", points=15),
}  # fmt: skip
