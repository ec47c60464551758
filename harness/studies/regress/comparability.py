"""Whether two runs may be compared: a refusal names the field and both values; and what ended one
early, and on which side. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from harness.core.errors import LabError
from harness.core.record import Environment, Run, Settings, Trial
from harness.core.wording import arm_names

# Of the settings: what changes how much is known, not what is measured. Levels and backends are
# matched one by one.
_FREE = {"rps", "backends", "rounds", "seed", "master", "worker_wait_s", "precision", "most_s"}
# Of the environment: what moves absolute figures by itself.
_MACHINE = (
    "cpu_model", "cpu_count", "server_cpus", "generator_cpus", "governor", "kernel",
    "virtualisation", "python_version", "python_build", "gil_enabled", "switch_interval_s",
    "clock_source", "memory_bytes", "malloc_arena_max",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ending:
    """`slot`: whose server died or would not start; None where it was no server's doing."""

    slot: int | None
    reason: str


def ending(run: Run) -> Ending | None:
    """The cause that ended a run early; None of a run that is whole."""
    if run.complete:
        return None
    reason = run.incomplete_reason or "it was cut short"
    if run.refused is not None:
        return Ending(run.refused, reason)
    # The trials of a restart in blocks ended together, whoever died.
    last = [t for t in run.trials if (t.rps, t.round) == (run.trials[-1].rps, run.trials[-1].round)]
    ended = last if last and last[-1].blocks else last[-1:]
    slots = [trial.slot for trial in ended if _by_its_server(trial)]
    return Ending(slots[0] if slots else None, reason)


def _by_its_server(trial: Trial) -> bool:
    """Whether the server ended a trial: it died, or was silent while it was asked."""
    if trial.died is not None:
        return trial.died == "server"
    # Earlier records do not say who died, but the reason begins with who it was.
    said = (trial.invalid_reason or "").startswith(("the server", "the control port"))
    return said and trial.class_ == "server-saturated"


def settings_difference(baseline: Settings, candidate: Settings) -> str | None:
    """The first setting that differs and matters, with both values; None when none does."""
    if baseline == candidate:
        return None
    for field in msgspec.structs.fields(Settings):
        if field.name not in _FREE:
            told = _difference(field.name, baseline, candidate)
            if told is not None:
                return told
    return None


def machine_difference(baseline: Environment, candidate: Environment) -> str | None:
    """The first thing about the machine that differs, with both values; None when none does."""
    for name in _MACHINE:
        told = _difference(name, baseline, candidate)
        if told is not None:
            return told
    return None


def _difference(name: str, baseline: Any, candidate: Any) -> str | None:
    before, after = getattr(baseline, name), getattr(candidate, name)
    return None if before == after else f"{name} is {before!r} in one and {after!r} in the other"


def must_be_comparable(baseline: Run, candidate: Run) -> None:
    """Raise `LabError` unless two runs were made with the same settings and are whole. That the
    candidate's own server ended its run is no reason to refuse it: it is a result."""
    for run in (baseline, candidate):
        if run.settings.trace is not None:
            raise LabError(
                f"the run {run.id} was traced, which costs CPU, so it is not compared; make it "
                "again without --trace"
            )
        ended = ending(run)
        if ended is not None and (run is baseline or ended.slot is None):
            raise LabError(f"the run {run.id} is partial ({ended.reason}); make it again")
    if baseline.id == candidate.id:
        raise LabError(
            f"both runs have the id {baseline.id}: a run is not compared with itself; "
            "name two different runs"
        )
    told = settings_difference(baseline.settings, candidate.settings)
    if told is not None:
        raise LabError(
            f"{baseline.id} and {candidate.id} cannot be compared: the setting {told}; "
            "make one of them again with the settings of the other"
        )
    if not common_levels(baseline, candidate):
        raise LabError(
            f"{baseline.id} and {candidate.id} have no cell in common: the first has "
            f"{_cells(baseline)}, the second {_cells(candidate)}; "
            "measure the same backends at the same rates"
        )


def common_levels(baseline: Run, candidate: Run) -> list[float]:
    """Levels at which both runs have a backend in common."""
    if not common_backends(baseline, candidate):
        return []
    return [rps for rps in baseline.settings.rps if rps in candidate.settings.rps]


def common_backends(baseline: Run, candidate: Run) -> list[str]:
    """Backends, or arms, of both, in the baseline's order."""
    there = set(arm_names(candidate.settings))
    return [name for name in dict.fromkeys(arm_names(baseline.settings)) if name in there]


def _cells(run: Run) -> str:
    levels = "/".join(f"{rps:g}" for rps in run.settings.rps)
    return f"{'/'.join(dict.fromkeys(arm_names(run.settings)))} at {levels} RPS"
