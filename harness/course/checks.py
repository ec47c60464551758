"""Checks of the exercises: right, or a hint. `check("0.1", answer, experiment)`."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.session.experiment import Experiment


@dataclass(frozen=True, slots=True)
class Exercise:
    """A right answer, and the hint for whoever has another."""

    right: Callable[..., bool]
    hint: str


def near(answer: Any, truth: float, share: float = 0.1) -> bool:
    """Whether a number is within a share of the truth."""
    return isinstance(answer, int | float) and math.isclose(answer, truth, rel_tol=share)


def _verdicts(answer: Any, experiment: Experiment) -> bool:
    table = experiment.table()
    return set(answer) == set(table.index[table["verdict"].isin(["better", "worse"])])


def _useful(answer: Any, experiment: Experiment) -> bool:
    life = experiment.anatomy().lives[1]
    return life.useful_share is not None and near(answer, life.useful_share, 0.05)


def _pool(answer: Any) -> bool:
    """Does what a pool must: handles all that it took, refuses what is too much, ends."""
    taken: list[int] = []
    gate, begun = threading.Event(), threading.Semaphore(0)

    def handle(item: int) -> None:
        begun.release()
        gate.wait(10)
        taken.append(item)

    pool = answer(2, 3, handle)
    accepted = [pool.submit(item) for item in range(2)]
    for _ in range(2):
        if not begun.acquire(timeout=5):
            return False
    accepted += [pool.submit(item) for item in range(2, 6)]
    waiting = len(pool)
    gate.set()
    return (
        accepted == [True] * 5 + [False]
        and waiting == 3
        and bool(pool.close(5))
        and sorted(taken) == [0, 1, 2, 3, 4]
    )


def _merged_p99(answer: Any, experiment: Experiment) -> bool:
    rows = experiment.requests
    return near(answer, float(rows["response_us"].quantile(0.99)), 0.02)


def _most_switches(answer: Any, experiment: Experiment) -> bool:
    return bool(answer == experiment.figure("server.context_switches.per_s").idxmax())


EXERCISES = {
    "0.1": Exercise(_verdicts, "Take the rows of table() whose verdict is better or worse: "
                               "their names are its index."),
    "1.1": Exercise(_useful, "Sum the medians of read to close of thread-pool, and divide by the "
                             "sum of all of its steps."),
    "2.1": Exercise(lambda a: near(a, 2000 * 834e-6, 0.05),
                    "Little's law: how many are in the system = arrivals a second x seconds each "
                    "stays. 834 µs are 0.000834 s."),
    "3.1": Exercise(_pool, "submit() must not wait when the queue is full; close() must let the "
                           "workers finish what is queued and then end; len() counts who waits."),
    "3.2": Exercise(lambda a: near(a, 16 / 0.040, 0.02),
                    "Each of the 16 workers is busy for 40 ms with one request: how many can it "
                    "serve in a second?"),
    "4.1": Exercise(_merged_p99, "The p99 of all is not the mean of the p99s: put the rows "
                                 "together first (experiment.requests) and take the quantile of "
                                 "response_us once."),
    "5.1": Exercise(_most_switches, "figure('server.context_switches.per_s') has one number for "
                                    "each backend."),
    "6.1": Exercise(lambda a: near(a, 16 / 0.030, 0.02),
                    "If each request keeps a worker for 30 ms, one worker serves 1 / 0.030 a "
                    "second, and there are 16."),
    "7.1": Exercise(lambda a, truth: near(a, truth, 0.1),
                    "One core has a second of CPU time each second; a request takes the CPU per "
                    "request that was measured."),
    "8.1": Exercise(lambda a: a == "lock",
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
        print(f"Exercise {number}: no answer yet. {exercise.hint}")
        return False
    right = exercise.right(answer, *evidence)
    print(f"Exercise {number}: right." if right else f"Exercise {number}: not yet. {exercise.hint}")
    return right
