"""From recorded trials to the figures that the ledger's claims name. Pure: nothing is measured.

A trial's measure gives one number for each valid trial of a cell; the figure is their median, or
for a ratio the typical within-round ratio of two cells, each with the interval of
`harness.stats.intervals`. A run's measure gives one number for each round, over all its levels.
Success is the share of all requests, as in the comparison.

A time that lies among the failures takes part in the ordering that gives median and interval, as
slower than any answer; where only the times of the survivors are known there is no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.core.record import Capacity, Run, ThreadCost, ThreadCosts, Trial
from harness.core.trials import SATURATED_BELOW, comparable, standard
from harness.stats.intervals import Estimate, location_estimate, ratio_estimate
from harness.stats.shares import share_estimate, share_ratio_estimate
from harness.studies.claims.records import Beside, Bound, Claim, Figure
from harness.studies.claims.trial_figures import (
    STEPS,
    OfRound,
    OfTrial,
    at,
    best,
    cpu_most_per_s,
    dispatch,
    lock_tail,
    per_worker_per_s,
    queue_depth_worst,
    server_time_us,
    stacks_spread,
    steps_us,
    thread_life_ms,
    waiting_for_thread,
    worker_busy,
    worker_most_per_s,
)
from harness.studies.compare.comparison import infinite, tally

_MIB = 1024 * 1024
_CREATIONS_A_SECOND = 2000
_STEPS_A_SECOND = 10  # the document draws steps of 100 ms


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no figure: a sentence without its full stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that claims are judged by."""

    run: Run
    beside: Beside


Rounds = Mapping[int, float | None]  # by their numbers; see OfTrial


@dataclass(frozen=True, slots=True)
class Measure:
    """How a figure is had. `takes` says what a claim must name besides."""

    takes: str  # "level": backend or ratio, and rps; "backend": those alone; "nothing"
    figure: Callable[[Evidence, Claim], Figure | Missing]

    def misuse(self, claim: Claim) -> str | None:
        """The fault of a claim that names this measure, in words; None when there is none."""
        sided = claim.backend is not None or claim.ratio is not None
        if sided != (self.takes != "nothing"):
            needs = "a backend or a ratio" if self.takes != "nothing" else "no backend and no ratio"
            return f"names the measure {claim.measure!r}, which needs {needs}"
        if (claim.rps is not None) != (self.takes == "level"):
            needs = "a level, rps" if self.takes == "level" else "no rps"
            return f"names the measure {claim.measure!r}, which needs {needs}"
        return None


# ---- one number for each round --------------------------------------------------------------


def figure_of(
    values: Sequence[float], bound: Bound = "exact", unanswered: Mapping[str, int] | None = None
) -> Figure:
    """The typical value of some rounds (at least one)."""
    estimate = location_estimate(values)
    assert estimate is not None
    return _figure(estimate, values, bound, unanswered or {})


def _figure(
    estimate: Estimate, seen: Sequence[float], bound: Bound, unanswered: Mapping[str, int]
) -> Figure:
    """An estimate as a record has it; `seen`: what the single rounds say."""
    ends = {
        "value": None if math.isnan(estimate.value) else estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "least": min(seen),
        "most": max(seen),
    }
    beyond = infinite(ends)
    return Figure(
        **{name: None if name in beyond else value for name, value in ends.items()},
        n=estimate.n,
        bound=bound,
        beyond=beyond,
        unanswered={name: rounds for name, rounds in unanswered.items() if rounds},
    )


def ratio_of(
    first: Rounds, second: Rounds, names: tuple[str, str], bound: Bound = "exact"
) -> Figure | Missing:
    """The typical ratio first / second within the rounds that both have. Where one side has no
    figure the ratio may be anything."""
    rounds = sorted(first.keys() & second.keys())
    if not rounds:
        return Missing("no round is valid for both backends")
    both = [(first[r], second[r]) for r in rounds]
    pairs = [(0.0, 0.0) if a is None or b is None else (a, b) for a, b in both]
    estimate = ratio_estimate([b for _, b in pairs], [a for a, _ in pairs])
    if estimate is None:
        never = all(a == b == math.inf for a, b in pairs)
        return Missing(
            "neither side answered" if never else "both sides are 0, so there is no ratio"
        )
    seen = [ratio for a, b in pairs for ratio in _ratios(a, b)]
    unanswered = {
        name: sum(pair[side] == math.inf for pair in pairs) for side, name in enumerate(names)
    }
    return _figure(estimate, seen, bound, unanswered)


def _ratios(above: float, below: float) -> tuple[float, ...]:
    """The ratio of a round; 0 and infinity, the ends, where both sides are 0 or infinite."""
    if above == below and (below == 0 or math.isinf(below)):
        return (0.0, math.inf)
    return (math.inf,) if below == 0 else (above / below,)


def valid_trials(run: Run, backend: str, rps: float | None) -> list[Trial] | Missing:
    """The trials of a backend (at one level, or all) in which something was asked for and the
    generator was not the limit."""
    if backend not in run.settings.backends:
        return Missing(f"this run has no {backend}")
    if rps is not None and rps not in run.settings.rps:
        return Missing(f"this run has no level of {rps:,.0f} RPS")
    slot = run.settings.backends.index(backend)  # of an A/A run the first side
    here = [t for t in standard(run.trials) if t.slot == slot and rps in (None, t.rps)]
    where = backend if rps is None else f"{backend} at {rps:,.0f} RPS"
    if not here:
        return Missing(f"no trial of {where} was finished")
    valid = [t for t in here if comparable(t) and t.client.scheduled]
    if not valid:
        return Missing(f"no trial of {where} was valid: {here[0].invalid_reason}")
    return valid


def _no_figure(trials: Sequence[Trial]) -> Missing:
    first = trials[0]
    if all(t.client.outcomes.ok == 0 for t in trials):
        return Missing(f"{first.name} at {first.rps:,.0f} RPS answered nothing ok")
    if all(t.server is None for t in trials):
        return Missing(f"{first.name} at {first.rps:,.0f} RPS left no report of its own")
    return Missing(f"{first.name} at {first.rps:,.0f} RPS has no such figure")


def _rounds_of_level(run: Run, backend: str, rps: float | None, of: OfTrial) -> Rounds | Missing:
    trials = valid_trials(run, backend, rps)
    if isinstance(trials, Missing):
        return trials
    values = {t.round: of(t, run.settings) for t in trials}
    partial = sum(value is not None and math.isnan(value) for value in values.values())
    if partial:
        return Missing(
            f"in {partial} of {len(values)} trials of {backend} at {trials[0].rps:,.0f} RPS "
            "something failed, and the figure is known for the answered requests alone"
        )
    known = any(value is not None for value in values.values())
    return values if known else _no_figure(trials)


def _rounds_of_run(run: Run, backend: str, of: OfRound) -> Rounds | Missing:
    trials = valid_trials(run, backend, None)
    if isinstance(trials, Missing):
        return trials
    values = {}
    for number in sorted({t.round for t in trials}):
        value = of([t for t in trials if t.round == number], run)
        if value is not None:
            values[number] = value
    return values or _no_figure(trials)


def _from_rounds(claim: Claim, rounds: Callable[[str], Rounds | Missing]) -> Figure | Missing:
    """The figure of one backend, or of one over another."""
    if claim.ratio is None:
        assert claim.backend is not None
        values = rounds(claim.backend)
        if isinstance(values, Missing):
            return values
        known = [value for value in values.values() if value is not None]
        return figure_of(known, unanswered={claim.backend: known.count(math.inf)})
    first, second = rounds(claim.ratio[0]), rounds(claim.ratio[1])
    if isinstance(first, Missing):
        return first
    return second if isinstance(second, Missing) else ratio_of(first, second, claim.ratio)


def of_trial(of: OfTrial) -> Measure:
    """A measure of the trials at one level."""

    def figure(evidence: Evidence, claim: Claim) -> Figure | Missing:
        return _from_rounds(
            claim, lambda backend: _rounds_of_level(evidence.run, backend, claim.rps, of)
        )

    return Measure("level", figure)


def of_run(of: OfRound) -> Measure:
    """A measure of each round, over all its levels."""

    def figure(evidence: Evidence, claim: Claim) -> Figure | Missing:
        return _from_rounds(claim, lambda backend: _rounds_of_run(evidence.run, backend, of))

    return Measure("backend", figure)


# ---- success ------------------------------------------------------------------------------


def _success(evidence: Evidence, claim: Claim) -> Figure | Missing:
    """The share of all requests of the rounds, or the ratio of two such shares."""
    sides = []
    for backend in claim.ratio or (claim.backend,):
        assert backend is not None
        trials = valid_trials(evidence.run, backend, claim.rps)
        if isinstance(trials, Missing):
            return trials
        sides.append({t.round: tally(t) for t in trials})
    rounds = sorted(set.intersection(*(set(side) for side in sides)))
    if not rounds:
        return Missing("no round is valid for both backends")
    first, *second = ([side[number] for number in rounds] for side in sides)
    shares = [[one.ok / one.scheduled for one in side] for side in (first, *second)]
    if second:
        estimate = share_ratio_estimate(second[0], first)
        seen = [ratio for pair in zip(*shares, strict=True) for ratio in _ratios(*pair)]
    else:
        estimate, seen = share_estimate(first), shares[0]
    if estimate is None:
        return Missing("neither side answered anything ok")
    return _figure(estimate, seen, "exact", {})


# ---- capacity -----------------------------------------------------------------------------


def _capacity(run: Run, backend: str) -> tuple[Rounds, Bound] | Missing:
    """Best rate of ok answers in each round, and whether it is the server's limit.

    It is, if at the highest level that was tried with success some requests failed; where every
    level was answered, the true figure may be any larger.
    """
    rounds = _rounds_of_run(run, backend, lambda t, r: best(at("client.achieved_rps"), t, r))
    if isinstance(rounds, Missing):
        return rounds
    trials = valid_trials(run, backend, None)
    assert not isinstance(trials, Missing)
    top = [t for t in trials if t.rps == max(t.rps for t in trials)]
    answered = sum(t.client.outcomes.ok for t in top) / sum(t.client.scheduled for t in top)
    # Rounds in which the top level was invalid would understate the best rate.
    whole = {t.round for t in top}
    rounds = {number: value for number, value in rounds.items() if number in whole}
    return rounds, "at-least" if answered >= SATURATED_BELOW else "exact"


def _max_rps(evidence: Evidence, claim: Claim) -> Figure | Missing:
    run = evidence.run
    if run.capacity is not None:
        return _searched(run.capacity, claim)
    if claim.ratio is None:
        assert claim.backend is not None
        side = _capacity(run, claim.backend)
        if isinstance(side, Missing):
            return side
        return figure_of([value for value in side[0].values() if value is not None], side[1])
    above, below = _capacity(run, claim.ratio[0]), _capacity(run, claim.ratio[1])
    if isinstance(above, Missing):
        return above
    if isinstance(below, Missing):
        return below
    if below[1] == "at-least":
        return Missing(f"{claim.ratio[1]} answered every level, so its limit is not known")
    return ratio_of(above[0], below[0], claim.ratio, above[1])


def _searched(capacity: Capacity, claim: Claim) -> Figure | Missing:
    """The capacities found, where the run is one of `labrun capacity`."""
    if claim.ratio is None:
        for one in capacity.estimates:
            if one.backend == claim.backend:
                trials = one.met + one.missed
                return _bounded(one.bound, one.rps, one.low_rps, one.high_rps, trials, one.why)
        return Missing(f"the capacity of {claim.backend} was not searched")
    for two in capacity.ratios:
        if (two.contender, two.baseline) == claim.ratio:
            trials = sum(one.met + one.missed for one in capacity.estimates)
            return _bounded(two.bound, two.ratio, two.ci_low, two.ci_high, trials, two.why)
    return Missing("the capacities of the two were not searched together")


def _bounded(
    bound: str, value: float | None, low: float | None, high: float | None, n: int, why: str | None
) -> Figure | Missing:
    if bound == "at-least" and low is not None:
        return Figure(value=low, low=low, high=low, least=low, most=low, n=n, bound="at-least")
    if bound == "interval" and value is not None and low is not None and high is not None:
        return Figure(value=value, low=low, high=high, least=low, most=high, n=n)
    return Missing(why or "the capacity that was searched has no interval")


# ---- what is measured besides the trials -----------------------------------------------------


def _thread_cost(read: Callable[[ThreadCosts], ThreadCost], factor: float = 1.0) -> Measure:
    def figure(evidence: Evidence, claim: Claim) -> Figure | Missing:
        costs = evidence.beside.thread_costs
        if costs is None:
            return _not_measured(evidence, "thread_costs", "the cost of a thread was not measured")
        cost = read(costs)
        return Figure(
            value=cost.median * factor,
            low=None if cost.ci_low is None else cost.ci_low * factor,
            high=None if cost.ci_high is None else cost.ci_high * factor,
            least=cost.least * factor,
            most=cost.most * factor,
            n=cost.batches,
        )

    return Measure("nothing", figure)


def _not_measured(evidence: Evidence, what: str, otherwise: str) -> Missing:
    return Missing(evidence.beside.missing.get(what, f"{otherwise} (labrun claims measures it)"))


def _enqueue(evidence: Evidence, claim: Claim) -> Figure | Missing:
    figure = evidence.beside.enqueue_us
    if figure is None:
        return _not_measured(evidence, "enqueue_us", "the cost of enqueuing was not measured")
    return figure


def _migrations(evidence: Evidence, claim: Claim) -> Figure | Missing:
    migrations = evidence.beside.migrations
    if not migrations:
        return _not_measured(
            evidence,
            "migrations",
            "a trial pins the server to its CPUs, and moves between CPUs were not counted apart",
        )

    def rounds(backend: str) -> Rounds | Missing:
        counts = [c for c in migrations if c.backend == backend and c.answered]
        if not counts:
            return Missing(f"moves between CPUs were not counted for {backend}")
        return {c.round: c.moves / c.answered * 1e3 for c in counts}

    return _from_rounds(claim, rounds)


MEASURES: dict[str, Measure] = {
    "thread_create_us": _thread_cost(lambda costs: costs.start_us),
    "thread_create_fresh_us": _thread_cost(lambda costs: costs.fresh_start_us),
    "thread_end_us": _thread_cost(lambda costs: costs.end_us),
    "thread_create_cpus": _thread_cost(lambda costs: costs.life_cpu_us, _CREATIONS_A_SECOND / 1e6),
    "enqueue_us": Measure("nothing", _enqueue),
    "migrations_per_1000": Measure("backend", _migrations),
    **{f"stage_{step}_us": of_trial(at(f"server.stages_us.{step}.p50")) for step in STEPS},
    "stage_dispatch_us": of_trial(dispatch("p50", 0.5)),
    "steps_us": of_trial(steps_us),
    "server_time_us": of_trial(server_time_us),
    "dispatch_p99_us": of_trial(dispatch("p99", 0.99)),
    "lock_tail": of_trial(lock_tail),
    "overhead_cpu_us": of_trial(at("server.cpu_us_per_request.overhead")),
    "efficiency": of_trial(at("server.efficiency")),
    "threads_active": of_trial(at("server.threads_active_mean")),
    "threads_peak": of_trial(at("server.threads_peak")),
    "threads_created_per_s": of_trial(at("server.threads_created_per_s")),
    "threads_created_per_step": of_trial(at("server.threads_created_per_s", 1 / _STEPS_A_SECOND)),
    "thread_life_ms": of_trial(thread_life_ms),
    "waiting_for_thread": of_trial(waiting_for_thread),
    "stack_reserved_mib": of_trial(at("server.memory.stack_reserved_bytes", 1 / _MIB)),
    "rss_peak_mib": of_trial(at("server.memory.rss_peak_bytes", 1 / _MIB)),
    "context_switches_per_s": of_trial(at("server.context_switches.per_s")),
    "median_us": of_trial(at("client.response_us.p50")),
    "p99_us": of_trial(at("client.response_us.p99")),
    "success": Measure("level", _success),
    "queue_depth_max": of_trial(at("server.queue_depth_max")),
    "per_worker_per_s": of_trial(per_worker_per_s),
    "worker_busy": of_trial(worker_busy),
    "worker_most_per_s": of_run(worker_most_per_s),
    "cpu_most_per_s": of_run(cpu_most_per_s),
    "stacks_spread": of_run(stacks_spread),
    "queue_depth_worst": of_run(queue_depth_worst),
    "max_rps": Measure("backend", _max_rps),
}
