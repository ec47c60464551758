"""What ended a run before its time, and whose doing that was. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.record import Run, Trial


@dataclass(frozen=True, slots=True)
class Ending:
    """`slot`: whose server died or would not start; None where it was no server's doing."""

    slot: int | None
    reason: str


def ending(run: Run) -> Ending | None:
    """What ended a run early; None of a run that is whole."""
    if run.complete:
        return None
    reason = run.incomplete_reason or "it was cut short"
    if run.refused is not None:
        return Ending(run.refused, reason)
    last = run.trials[-1] if run.trials else None
    return Ending(last.slot if last is not None and _by_its_server(last) else None, reason)


def _by_its_server(trial: Trial) -> bool:
    """Whether the server ended a trial: it died, or was silent while it was asked."""
    if trial.died is not None:
        return trial.died == "server"
    # Earlier records do not say who died, but the reason begins with who it was.
    said = (trial.invalid_reason or "").startswith(("the server", "the control port"))
    return said and trial.class_ == "server-saturated"
