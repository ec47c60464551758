"""Checks of the exercises: right, or a hint. `check("0.1", answer, experiment)`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.course.examined import examined
from harness.course.hints import SECOND_HINTS
from harness.course.puzzles import deadlock, lost_updates

if TYPE_CHECKING:
    from harness.course.incident import Incident
    from harness.session.experiment import Experiment


@dataclass(frozen=True, slots=True)
class Exercise:
    """Whether an answer is right, or a sentence on what is wrong with it (None: it is none yet);
    and a hint for an answer that is wrong in no known way."""

    right: Callable[..., bool | str | None]
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


def _verdicts(answer: Any, experiment: Experiment) -> bool | str:
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        return "Several may be: put their names into a set."
    table, given = experiment.table(), {str(name) for name in answer}
    strange = sorted(given - set(table.index))
    if strange:
        return f"{strange[0]!r} is no figure of the table: its names are its index."
    by_verdict = {word: set(table.index[table["verdict"] == word]) for word in table["verdict"]}
    true = by_verdict.get("better", set()) | by_verdict.get("worse", set())
    if given == true:
        return True
    if given & (by_verdict.get("more", set()) | by_verdict.get("fewer", set())):
        return "There is one among them that has more or fewer: is that good or bad by itself?"
    if given & by_verdict.get("cannot-tell", set()):
        return "There is one among them whose interval includes 1."
    if given < true:
        return f"{len(true - given)} of them are missing."
    return False


def _useful(answer: Any, experiment: Experiment) -> bool | str:
    thread, pool = experiment.anatomy().lives
    if near(answer, pool.useful_share or math.nan, 0.05):
        return True
    if near(answer, thread.useful_share or math.nan, 0.02):
        return "That is thread-per-request's."
    if near(answer, pool.useful_cpu_share or math.nan, 0.02):
        return "That is the share of the CPU time. Here it is the clock on the wall."
    if near(answer, (pool.useful_share or math.nan) * 100, 0.05):
        return "As a number from 0 to 1, or with a % sign as a text."
    return False


def _merged_p99(answer: Any, experiment: Experiment) -> bool | str:
    rows = experiment.requests
    true = float(rows["response_us"].quantile(0.99))
    each = rows.groupby("round")["response_us"].quantile(0.99)
    if near(answer, true, 0.005):
        return True
    if near(answer, float(each.mean()), 0.005):
        return "That is the mean of the p99s, and the p99 of nothing."
    if near(answer, float(each.median()), 0.005):
        return "That is the p99 of a typical round, and not of all requests."
    if near(answer, true / 1000, 0.005):
        return "In microseconds."
    return False


def _one_core(answer: Any, experiment: Experiment) -> bool | str:
    """What one core serves of the pool at 70 % of its time, at the cost that 2,000 RPS has."""
    cost = {
        rps: experiment.figure("server.cpu_us_per_request.total", rps) for rps in (2000, 10_000)
    }
    pool = cost[2000]["thread-pool"]
    if near(answer, 0.7e6 / pool, 0.03):
        return True
    known = {
        1e6 / pool: "That is the core with nothing to spare: 70 % of its time is asked for.",
        0.7e6 / cost[2000]["thread-per-request"]: "That is thread-per-request's.",
        0.7e6 / cost[10_000]["thread-pool"]: "That is with the cost at 10,000: asked is 2,000's.",
        0.7 / pool: "A second has 1,000,000 µs.",
        pool / 0.7e6: "Upside down: that is seconds for each request, not requests a second.",
    }
    return next((told for wrong, told in known.items() if near(answer, wrong, 0.03)), False)


def _most_switches(answer: Any, experiment: Experiment) -> bool:
    return bool(answer == experiment.figure("server.context_switches.per_s").idxmax())


def _suspect(answer: Any, incident: Incident | None = None) -> bool | str:
    """The fault that an incident has."""
    if incident is None:
        return 'Which incident is it about? check("8.1", diagnosis, incident)'
    return incident.judged(answer)


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
    "2a.1": Exercise(lost_updates, "Let all three read before the first of them writes."),
    "2a.2": Exercise(numeric(2, 0.01, {
                         200: "That is the most: nothing is lost.",
                         100: "That is one thread's work lost. Can a thread write, late, what it "
                              "read at the very beginning, and lose more?",
                         101: "Nearly all of one thread's work lost; but the other's can be too.",
                         1: "Whoever writes last has done 100 rounds: can its last write be of 1?",
                         0: "Every write is of something that was read, and one more: not 0.",
                     }),
                     "Whoever writes last read something before: how little can that have been?"),
    "2a.3": Exercise(examined("race_examiner", "Counter", "counter", ["Counter.add"]),
                     "A counter counts."),
    "2a.4": Exercise(examined("race_examiner", "Hall", "hall", ["Hall.book"]), "A hall sells."),
    "2a.5": Exercise(examined("race_examiner", "Once", "once", ["Once.get"]), "It makes once."),
    "2b.1": Exercise(examined("waiting_examiner", "Gate", "gate", ["Gate.wait", "Gate.open"]),
                     "A gate opens."),
    "2b.2": Exercise(examined("waiting_examiner", "Barrier", "barrier", ["Barrier.wait"]),
                     "A barrier holds."),
    "2b.3": Exercise(deadlock, "Each takes one, and then asks for the other."),
    "2b.4": Exercise(examined("waiting_examiner", "transfer", "transfer", ["transfer"]),
                     "It moves money."),
    "2b.5": Exercise(numeric(4, 0.01, {
                         5: "All five can take their left fork, and then none has a right one.",
                         2: "Two can eat at the same time; but how many may sit without ever being "
                            "stuck?",
                         1: "One is safe, and so are more: when does nobody get a second fork?",
                         3: "Three are safe, and so are more: when does nobody get a second fork?",
                     }),
                     "How many must sit so that each can hold one fork, and none is left over?"),
    "3.1": Exercise(examined("queue_examiner", "BoundedQueue", "queue",
                             ["BoundedQueue.put", "BoundedQueue.get"]),
                    "A queue takes, refuses, gives and lets sleep."),
    "3.2": Exercise(examined("pool_examiner", "Pool", "workers", ["Pool.work"],
                             ["BoundedQueue.put", "BoundedQueue.get"]),
                    "A worker takes, handles, and goes on."),
    "3.3": Exercise(examined("pool_examiner", "Pool", "whole",
                             ["BoundedQueue.close", "Pool.close"],
                             ["BoundedQueue.put", "BoundedQueue.get", "Pool.work"]),
                    "A pool takes, refuses, handles and ends."),
    "3.4": Exercise(numeric(24 / 0.030, 0.02, {
                        24 * 30: "Multiplied. The longer each takes, the fewer can be served.",
                        24 * 0.030: "Multiplied. The longer each takes, the fewer can be served.",
                        24 / 30: "That is how many in a millisecond.",
                        1 / 0.030: "That is what one worker serves.",
                        16 / 0.040: "That is the pool above: these are 24 workers, and 30 ms.",
                    }),
                    "Each of the 24 workers is busy for 30 ms with one request: how many can it "
                    "serve in a second?"),
    "3.5": Exercise(numeric(800 * 0.040, 0.01, {
                        800 * 40: "40 is in milliseconds, and the rate in seconds.",
                        800 / 0.040: "Divided. The longer each takes, the more are busy.",
                        800 / 40: "Divided. The longer each takes, the more are busy.",
                        16: "That is the pool above, and it serves 400 a second.",
                        40: "40 do; but fewer are busy on average.",
                        800: "That is as if each took a second.",
                    }),
                    "Little's law: how many requests are with a worker at any moment, if 800 come "
                    "in a second and each stays for 40 ms?"),
    "3.6": Exercise(numeric(0.5 * 400, 0.02, {
                        0.5 * 800: "That is what comes in that time; what leaves the queue in it?",
                        0.5 / 400: "Divided. The longer one may wait, the longer the queue may be.",
                        400 / 0.5: "Divided. The longer one may wait, the longer the queue may be.",
                        10_000: "Whoever comes last into that one waits for 25 s.",
                    }),
                    "Who comes last into a full queue waits until all before have been taken: how "
                    "many do the workers take in half a second, at 400 a second?"),
    "4.1": Exercise(_merged_p99, "The p99 of all is not the mean of the p99s: put the rows "
                                 "together first (experiment.requests) and take the quantile of "
                                 "response_us once."),
    "5.1": Exercise(_most_switches, "figure('server.context_switches.per_s') has one number for "
                                    "each backend."),
    "6.1": Exercise(numeric(10_000 * 0.030, 0.02, {
                        10_000 * 30: "30 is in milliseconds, and the rate in seconds.",
                        10_000 / 30: "Divided. More arrivals, or longer stays, need more workers.",
                        10_000 / 0.030: "Divided. More arrivals, or longer stays, need more.",
                        16: "That is how many the document has; its own figures give another.",
                        16 / 0.030: "That is what 16 workers serve in a second.",
                        10_000 * 0.050: "That is with 50 ms: 30 were asked for.",
                    }),
                    "Little's law: as many workers are busy as requests are with a worker at any "
                    "moment."),
    "7.1": Exercise(_one_core,
                    "One core has a second of CPU time each second, and a request takes the CPU "
                    "per request that was measured: at which rate is 70 % of it taken?"),
    "8.1": Exercise(_suspect, "Is it the median or the tail? Work or waiting? Waiting for what?"),
}  # fmt: skip


# What was answered wrongly in this process, by exercise: the same cell again is no second try.
_wrong: dict[str, set[str]] = {}


def check(number: str, answer: Any, *evidence: Any) -> bool:
    """Say whether an answer is right, or give a hint, and a further one once a second answer was
    wrong too; True when it is right.

    `evidence` is what the exercise is about: the experiment, as its cell has it. An answer of None
    is one that was not given yet.
    """
    exercise = EXERCISES.get(str(number))
    if exercise is None:
        print(f"There is no exercise {number}; there are {', '.join(EXERCISES)}.")
        return False
    if answer is None:
        print(f"Exercise {number}: no answer yet. Put yours in, and run this cell again.")
        return False
    right = exercise.right(answer, *evidence)
    if right is None:
        print(f"Exercise {number}: no answer yet. Put yours in, and run this cell again.")
        return False
    if right is True:
        print(f"Exercise {number}: right.")
        return True
    tried = _wrong.setdefault(str(number), set())
    tried.add(repr(answer))
    further = SECOND_HINTS.get(str(number), "") if len(tried) > 1 else ""
    print(f"Exercise {number}: not yet. {right or exercise.hint} {further}".rstrip())
    return False
