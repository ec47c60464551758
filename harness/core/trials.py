"""Which trials say something about their server, and which are a comparison's."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.record import Design, Run, Trial

# Below this share of ok the server did not keep up with the offered load.
SATURATED_BELOW = 0.99


def comparable(trial: Trial) -> bool:
    """Whether a trial says something about its server: the generator was not the limit."""
    return trial.valid and trial.class_ != "generator-limited"


def design_at(run: Run, rps: float) -> Design:
    """How a level was measured: a level that blocks could not measure is in whole trials."""
    here = [trial for trial in run.trials if trial.rps == rps]
    return "blocks" if any(trial.blocks for trial in here) else "trials"


def run_design(run: Run) -> Design:
    """How most of a run was measured: in blocks, where any level was."""
    designs = {design_at(run, rps) for rps in run.settings.rps}
    return "blocks" if "blocks" in designs else "trials"


def standard(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that were run as the settings have it, with no workload or workers of their own.

    Others measure something else, at whatever rate; cells and comparisons never mix them in.
    """
    return [t for t in trials if t.workload is None and t.workers is None]


def tells_other_work(run: Run) -> bool:
    """Whether its blocks say who else had the CPU. The p99 of a typical block is then without it,
    and another figure than that of a run which does not say."""
    return any(block.other_work is not None for trial in run.trials for block in trial.blocks)
