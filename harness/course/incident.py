"""Notebook 8: an incident, drawn from a seed, and evidence that is asked for one query at a time,
at a price."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.core.errors import LabError
from harness.core.metrics import BY_PATH, SUCCESS
from harness.course.releases import FAULTS, fault_of, write_release
from harness.session.experiment import Experiment

BUDGET = 10
WORKLOAD, RPS, ROUNDS = "io:5ms", 200, 5
# Of whom it is said what would show it.
_AGAINST = {
    "leak": "A leak fills memory: what does 'memory' say of the beginning and the end?",
    "lock": "Who waits for a lock waits for as long as others hold it, sometimes long and "
    "sometimes not: how far apart are median and p99 of the step that has grown?",
    "sleep": "Who sleeps takes the same time each time: how far apart are median and p99 of the "
    "step that has grown, and is there one?",
    "smaller pool": "With too few workers requests wait before anybody takes them: which step is "
    "that, and what does 'threads' say?",
    "retry storm": "Who asks again and again works for it: what does 'cpu' say?",
    "garbage collector": "A collection stops everybody for a while, and seldom: what has become "
    "of the median, and what of the p99?",
}


class Incident:
    """A new release of the pool, which has one of six faults. Each query is paid for once."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self._fault = fault_of(seed)
        self._run: Experiment | None = None
        self._asked: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The name of its run, which gives nothing away."""
        return f"incident-{list(FAULTS).index(self._fault) + 1}"

    def release(self, path: str = "release.py") -> str:
        """Write the release into a file; its backend."""
        write_release(path, self._fault)
        return f"{Path(path).stem}:Backend"

    def opened(self, run: Experiment) -> None:
        """The run that the queries are about: the old one first, then the release."""
        self._run = run

    @property
    def spent(self) -> int:
        """Points of the budget that were spent."""
        return sum(self._asked.values())

    def menu(self) -> str:
        """The queries and their prices, as Markdown."""
        rows = "".join(
            f"| `{name}` | {price} | {about} |\n" for name, (price, about, _) in _QUERIES.items()
        )
        return (
            f"You have {BUDGET} points.\n\n| query | price | what it says |\n| --- | ---: | --- |\n"
            f"{rows}| `step NAME` | 2 | median and p99 of one step: {', '.join(_STEPS)} |\n"
        )

    def ask(self, query: str) -> None:
        """Print what the evidence says, old and new. Asked again it is free; beyond the budget
        it is refused. Raises `LabError` before there is a run."""
        if self._run is None:
            raise LabError("there is no run yet: incident.opened(compare(...)) comes first")
        text = " ".join(str(query).lower().replace("_", " ").split())
        try:
            price, tell = _query(text)
        except KeyError:
            print(f"There is no query {query!r}: {', '.join(_QUERIES)}, or step NAME.")
            return
        price = 0 if text in self._asked else price
        if self.spent + price > BUDGET:
            print(f"{text} costs {price}, and {BUDGET - self.spent} of {BUDGET} points are left.")
            return
        self._asked.setdefault(text, price)
        print(f"{tell(self._run)} ({BUDGET - self.spent} points left)")

    def judged(self, answer: Any) -> bool | str:
        """Whether that is its fault; else what would show the one that was named."""
        words = {"gc": "garbage collector", "pool": "smaller pool", "retries": "retry storm"}
        word = " ".join(str(answer).strip().lower().replace("_", " ").split())
        word = words.get(word, word)
        if word not in FAULTS:
            return f"{answer!r} is none of the six suspects: {', '.join(sorted(FAULTS))}."
        if word == self._fault:
            print(f"You spent {self.spent} of {BUDGET} points.")
            return True
        return _AGAINST[word]


_STEPS = ("dispatch", "read", "parse", "rate limit", "decode", "validate", "write", "close")


def _pair(run: Experiment, path: str) -> str:
    old, new = run.figure(path)
    written = BY_PATH[path].unit.write
    return f"{written(old)} before, {written(new)} now"


def _latency(run: Experiment) -> str:
    median = _pair(run, "client.response_us.p50")
    return f"Median: {median}. p99: {_pair(run, 'client.response_us.p99')}."


def _success(run: Experiment) -> str:
    return f"Answered: {_pair(run, SUCCESS)}."


def _cpu(run: Experiment) -> str:
    return f"CPU per request: {_pair(run, 'server.cpu_us_per_request.total')}."


def _memory(run: Experiment) -> str:
    said = []
    for slot, when in enumerate(("before", "now")):
        rows = run.timeline[run.timeline["slot"] == slot]
        each = rows.sort_values("t_ms").groupby("round")["rss_bytes"]
        begin, end = each.first().median() / 2**20, each.last().median() / 2**20
        said.append(f"{begin:.0f} MiB at the beginning and {end:.0f} MiB at the end {when}")
    return f"Memory of a trial: {', '.join(said)}."


def _threads(run: Experiment) -> str:
    alive = _pair(run, "server.threads_active_mean")
    return f"Threads alive: {alive}. Waiting in the queue, at most: {_waiting(run)}."


def _waiting(run: Experiment) -> str:
    old, new = run.figure("server.queue_depth_max")
    return f"{old:.0f} before, {new:.0f} now"


def _switches(run: Experiment) -> str:
    return f"Context switches a second: {_pair(run, 'server.context_switches.per_s')}."


_QUERIES: dict[str, tuple[int, str, Callable[[Experiment], str]]] = {
    "latency": (1, "median and p99 of the response time", _latency),
    "success": (1, "the share that is answered", _success),
    "cpu": (2, "CPU time per request", _cpu),
    "switches": (2, "context switches a second", _switches),
    "memory": (3, "resident memory at the beginning and the end of a trial", _memory),
    "threads": (3, "threads alive, and the queue", _threads),
}


def _query(text: str) -> tuple[int, Callable[[Experiment], str]]:
    """Its price, and what tells it. Raises KeyError for none."""
    if text in _QUERIES:
        price, _, tell = _QUERIES[text]
        return price, tell
    name = text.removeprefix("step ")
    if not text.startswith("step ") or name not in _STEPS:
        raise KeyError(text)
    return 2, lambda run: _step(run, name)


def _step(run: Experiment, name: str) -> str:
    row = run.steps().loc[name]
    old, new = run.run.settings.backends
    return (
        f"Step {name}: median {row['median_us', old]:,.0f} µs before, "
        f"{row['median_us', new]:,.0f} µs now; p99 {row['p99_us', old]:,.0f} µs before, "
        f"{row['p99_us', new]:,.0f} µs now."
    )
