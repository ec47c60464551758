"""The cause that ended a run early, and which side it was on. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.record import Run, Trial


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
