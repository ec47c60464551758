"""Runs with their rows, made from the one in the repository."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.core.record import ArmSettings, Run, Settings, Trial
from harness.report.source import Source
from harness.studies.compare.comparison import build_cells, build_comparisons


def with_settings(run: Run, trials: list[Trial], **changes: Any) -> Run:
    """The run with other trials and settings, summed up again."""
    settings: Settings = msgspec.structs.replace(run.settings, **changes)
    return msgspec.structs.replace(
        run,
        settings=settings,
        trials=trials,
        cells=build_cells(settings, trials),
        comparisons=build_comparisons(settings, trials),
    )


def long_named_arms(source: Source) -> Source:
    """One backend twice, each time with options of its own and a name as long as they may be."""
    name = source.run.settings.backends[-1]
    called = [f"a name of forty letters, which is long {side}" for side in "ab"]
    arms = [ArmSettings(name=arm, backend=name, options={"workers": 8 << slot})
            for slot, arm in enumerate(called)]  # fmt: skip
    trials = [msgspec.structs.replace(t, backend=name, arm=called[t.slot])
              for t in source.run.trials]  # fmt: skip
    run = with_settings(source.run, trials, backends=[name, name], arms=arms)
    return Source(run, source.requests.assign(backend=name), source.timeline)
