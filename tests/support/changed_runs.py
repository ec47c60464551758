"""Runs with known changes, and what a refusal looks like."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import msgspec

from harness.analysis.compare import build_cells, build_comparisons
from harness.record import Run, Source
from harness.store import RunFolder


def scaled(run: Run, name: str, path: str, factor: float, slot: int | None = None) -> Run:
    """The run under another id, with one figure of one slot (None: all) multiplied."""
    raw: Any = msgspec.to_builtins(run)
    for trial in raw["trials"]:
        if slot is None or trial["slot"] == slot:
            at = trial
            *parents, last = path.split(".")
            for parent in parents:
                at = at[parent]
            at[last] *= factor
    made = msgspec.convert(raw, Run)
    return msgspec.structs.replace(
        made,
        id=name,
        cells=build_cells(made.settings, made.trials),
        comparisons=build_comparisons(made.settings, made.trials),
    )


def changed(run: Run, name: str, **changes: Any) -> Run:
    """The run under another id, with other settings or another environment."""
    settings = {k: v for k, v in changes.items() if k in run.settings.__struct_fields__}
    machine = {k: v for k, v in changes.items() if k in run.environment.__struct_fields__}
    others = {k: v for k, v in changes.items() if k not in settings and k not in machine}
    return msgspec.structs.replace(
        run,
        id=name,
        settings=msgspec.structs.replace(run.settings, **settings),
        environment=msgspec.structs.replace(run.environment, **machine),
        **others,
    )


def side_by_side(run: Run, factor: float, path: str = "server.cpu_us_per_request.total") -> Run:
    """A check of two commits: the second slot becomes the first backend's new code, with one figure
    times `factor`."""
    trials = []
    for trial in run.trials:
        if trial.slot == 0:
            trials.append(trial)
            new = scaled(run, "x", path, factor).trials[run.trials.index(trial)]
            trials.append(msgspec.structs.replace(new, slot=1))
    sources = [
        Source(slot=0, label="old", commit="a" * 40, dirty=False),
        Source(slot=1, label="new", commit="b" * 40, dirty=True),
    ]
    name = run.settings.backends[0]
    settings = msgspec.structs.replace(run.settings, backends=[name, name])
    return msgspec.structs.replace(run, trials=trials, sources=sources, settings=settings)


def saved(run: Run, folder: Path) -> Path:
    """The run's record in a folder."""
    folder.mkdir(parents=True)
    RunFolder(folder).save(run)
    return folder


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Status 2, nothing on standard output, one line on standard error with these words."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
