"""Records of earlier labs, brought to the rules of this one when they are read. Pure.

Schema 1 took the quantiles of response and service times over the requests that were answered, so
whoever failed was in none of them. The counts of each outcome say what is left of such a figure: a
quantile q lies among the failures where fewer than q of the requests that were sent were answered.
Where more were but something failed, it is a figure of the survivors, smaller than it should be by
an unknown amount: it stays to be read and is not compared.
"""

from __future__ import annotations

import msgspec

from harness.core.record import QUANTILE_SHARES, SCHEMA_VERSION, Client, Quantiles, Run, Trial
from harness.studies.capacity.estimate import build_capacity
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.compare.summary import run_finding
from harness.studies.crossover.estimate import RANGES, build_crossover
from harness.studies.search_sentences import capacity_finding, crossover_finding

OLD_SCHEMAS = (1,)
_WARNING = (
    "This run was recorded under schema 1: where requests failed, its response times are those of "
    "the answered ones alone, and are not compared"
)


def upgraded(run: Run) -> Run:
    """The run as this lab would have recorded it, as far as its record tells. A run of the present
    schema is returned as it is."""
    if run.schema == SCHEMA_VERSION:
        return run
    trials = [_trial(trial) for trial in run.trials]
    told = any(t.client.beyond or t.client.survivors for t in trials)
    warnings = [*run.warnings, _WARNING] if told else run.warnings
    run = msgspec.structs.replace(run, schema=SCHEMA_VERSION, trials=trials, warnings=warnings)
    known = {(cell.slot, cell.rps) for cell in run.cells}
    cells = [c for c in build_cells(run.settings, trials) if (c.slot, c.rps) in known]
    run = msgspec.structs.replace(run, cells=cells)
    if run.comparisons:
        comparisons = build_comparisons(run.settings, trials)
        run = msgspec.structs.replace(run, comparisons=comparisons)
    if run.finding is not None and run.sources and told:
        run = msgspec.structs.replace(run, finding=f"{run.finding} (By the rules of schema 1.)")
    if run.finding is not None and not (run.sources or run.capacity or run.crossover):
        # Of a check of two commits, and of a search, the sentence is another.
        run = msgspec.structs.replace(run, finding=run_finding(run))
    if run.capacity is not None:
        kept = run.capacity
        capacity = build_capacity(run.settings, trials, kept.objective, kept.conditions)
        line = capacity_finding(capacity, run.settings)
        run = msgspec.structs.replace(run, capacity=capacity, finding=line)
    if run.crossover is not None:
        # The record does not name the ends of what could be tried, so that it is judged again only
        # where a pair has another answer now; the usual ends are then taken.
        found, vary = run.crossover, run.crossover.vary
        again = build_crossover(run.settings, trials, vary, *RANGES[vary])
        if [cell.better for cell in again.cells] == [cell.better for cell in found.cells]:
            again = msgspec.structs.replace(again, line=found.line)
        line = crossover_finding(again, run.settings)
        run = msgspec.structs.replace(run, crossover=again, finding=line)
    return run


def _trial(trial: Trial) -> Trial:
    client = trial.client
    failed = client.scheduled - client.outcomes.unsent - client.outcomes.ok
    if failed <= 0:
        return trial
    named = msgspec.structs.asdict(client.response_us)
    beyond = [name for name in named if _is_beyond(name, client)]
    survivors = [name for name, value in named.items() if value is not None and name not in beyond]
    if client.outcomes.timeout or client.outcomes.refused:  # some of them may never have connected
        survivors.append("connect")
    return msgspec.structs.replace(
        trial,
        client=msgspec.structs.replace(
            client,
            response_us=_without(client.response_us, beyond),
            service_us=_without(client.service_us, beyond),
            beyond=beyond,
            survivors=survivors,
        ),
    )


def _is_beyond(name: str, client: Client) -> bool:
    share = QUANTILE_SHARES.get(name)
    if share is None:  # mean and maximum: of all, and something failed
        return True
    return client.outcomes.ok < share * (client.scheduled - client.outcomes.unsent)


def _without(figures: Quantiles, names: list[str]) -> Quantiles:
    return msgspec.structs.replace(figures, **dict.fromkeys(names))
