"""Checks of the exercises: right, or a hint. `check("0.1", answer, experiment)`."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.session.experiment import Experiment


@dataclass(frozen=True, slots=True)
class Exercise:
    """Whether an answer is right, or a sentence on what is wrong with it; and a hint for an answer
    that is wrong in no known way."""

    right: Callable[..., bool | str]
    hint: str


def number(answer: Any) -> float | None:
    """The number that an answer is: 400, NumPy's 400, "400", "40 %". None: it is none."""
    text = str(answer).strip()
    per_cent = text.endswith("%")
    try:
        value = float(text.removesuffix("%").replace(",", "").strip())
    except ValueError:
        return None
    return value / 100 if per_cent else value


def near(answer: Any, truth: float, share: float = 0.1) -> bool:
    """Whether a number is within a share of the truth."""
    value = number(answer)
    return value is not None and math.isclose(value, truth, rel_tol=share)


def numeric(truth: float, share: float, mistakes: Mapping[float, str]) -> Callable[..., bool | str]:
    """Right within a share of the truth. `mistakes`: what comes out of a known misconception."""

    def right(answer: Any) -> bool | str:
        if number(answer) is None:
            return f"{answer!r} is no number."
        if near(answer, truth, share):
            return True
        known = [told for wrong, told in mistakes.items() if near(answer, wrong, share)]
        return known[0] if known else False

    return right


def _verdicts(answer: Any, experiment: Experiment) -> bool:
    table = experiment.table()
    return set(answer) == set(table.index[table["verdict"].isin(["better", "worse"])])


def _useful(answer: Any, experiment: Experiment) -> bool:
    life = experiment.anatomy().lives[1]
    return life.useful_share is not None and near(answer, life.useful_share, 0.05)


def _pool(answer: Any) -> bool | str:
    """Examines the pool's file, as it is now, in a process of its own."""
    module = sys.modules.get(getattr(answer, "__module__", ""))
    file, name = getattr(module, "__file__", None), getattr(answer, "__name__", "")
    if file is None or not hasattr(module, name):
        return "A pool is examined in a file of its own: write it with %%writefile and import it."
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.course.pool_examiner", file, name],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    fault = done.stdout.strip()
    return f"{fault[0].upper()}{fault[1:]}." if fault else True


def _merged_p99(answer: Any, experiment: Experiment) -> bool:
    rows = experiment.requests
    return near(answer, float(rows["response_us"].quantile(0.99)), 0.02)


def _most_switches(answer: Any, experiment: Experiment) -> bool:
    return bool(answer == experiment.figure("server.context_switches.per_s").idxmax())


def _suspect(answer: Any) -> bool | str:
    """The fault of the capstone's release."""
    known: dict[str, bool | str] = {
        "lock": True,
        "leak": "A leak fills memory. How much more of it is there after five rounds?",
        "computes": "Who computes uses the CPU. How much of what a request takes longer is CPU?",
    }
    word = str(answer).strip().lower()
    return known.get(word, f"{answer!r} is none of the three suspects.")


EXERCISES = {
    "0.1": Exercise(_verdicts, "Take the rows of table() whose verdict is better or worse: "
                               "their names are its index."),
    "1.1": Exercise(_useful, "Sum the medians of read to close of thread-pool, and divide by the "
                             "sum of all of its steps."),
    "2.1": Exercise(numeric(2000 * 834e-6, 0.05, {
                        2000 * 834: "2,000 a second times 834: but what is the unit of 834?",
                        2000 * 834e-3: "That takes 834 µs for milliseconds.",
                        2000 / 834: "Divided. More arrivals, or longer stays, are more alive.",
                        834 / 2000: "Divided. More arrivals, or longer stays, are more alive.",
                        40: "That is what the document says; its own two figures give another.",
                        100: "That is what the document says; its own two figures give another.",
                    }),
                    "Little's law: how many are in the system follows from how many come in a "
                    "second, and how many seconds each stays."),
    "3.1": Exercise(_pool, "A pool takes, refuses, handles and ends."),
    "3.2": Exercise(numeric(24 / 0.030, 0.02, {
                        24 * 30: "Multiplied. The longer each takes, the fewer can be served.",
                        24 * 0.030: "Multiplied. The longer each takes, the fewer can be served.",
                        24 / 30: "That is how many in a millisecond.",
                        1 / 0.030: "That is what one worker serves.",
                        16 / 0.040: "That is the pool above: these are 24 workers, and 30 ms.",
                    }),
                    "Each of the 24 workers is busy for 30 ms with one request: how many can it "
                    "serve in a second?"),
    "4.1": Exercise(_merged_p99, "The p99 of all is not the mean of the p99s: put the rows "
                                 "together first (experiment.requests) and take the quantile of "
                                 "response_us once."),
    "5.1": Exercise(_most_switches, "figure('server.context_switches.per_s') has one number for "
                                    "each backend."),
    "6.1": Exercise(numeric(16 / 0.030, 0.02, {
                        16 * 30: "Multiplied. The longer each takes, the fewer can be served.",
                        16 * 0.030: "Multiplied. The longer each takes, the fewer can be served.",
                        16 / 30: "That is how many in a millisecond.",
                        1 / 0.030: "That is what one worker serves.",
                        20_000: "That is what the document says; its own figures give another.",
                    }),
                    "If each request keeps a worker for 30 ms, one worker serves 1 / 0.030 a "
                    "second, and there are 16."),
    "7.1": Exercise(lambda a, truth: near(a, truth, 0.1),
                    "One core has a second of CPU time each second; a request takes the CPU per "
                    "request that was measured."),
    "8.1": Exercise(_suspect,
                    "Compare steps(): which one step has grown, and is it one that takes the CPU "
                    "or one that waits? See how much of what it has grown is CPU per request."),
}  # fmt: skip


def check(number: str, answer: Any, *evidence: Any) -> bool:
    """Say whether an answer is right, or give a hint; True when it is.

    `evidence` is what the exercise is about: the experiment, as its cell has it. An answer of None
    is one that was not given yet.
    """
    exercise = EXERCISES[number]
    if answer is None:
        print(f"Exercise {number}: no answer yet. Put yours in, and run this cell again.")
        return False
    right = exercise.right(answer, *evidence)
    if right is True:
        print(f"Exercise {number}: right.")
        return True
    print(f"Exercise {number}: not yet. {right or exercise.hint}")
    return False
