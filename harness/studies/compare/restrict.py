"""Part of a run."""

from __future__ import annotations

import msgspec

from harness.core.record import Run
from harness.studies.compare.summary import level_finding


def only(run: Run, rps: float) -> Run:
    """The run as if it had one level."""
    return msgspec.structs.replace(
        run,
        settings=msgspec.structs.replace(run.settings, rps=[rps]),
        trials=[t for t in run.trials if t.rps == rps],
        cells=[c for c in run.cells if c.rps == rps],
        comparisons=[c for c in run.comparisons if c.rps == rps],
        finding=level_finding(run, rps),
    )
