"""Runs with known changes, and what a refusal looks like."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import msgspec

from harness.core.record import Run, Settings, Source, Trial
from harness.store import RunFolder
from harness.studies.compare.comparison import build_cells, build_comparisons


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
    return summed_up(run, name, msgspec.convert(raw, Run).trials)


def rejecting(
    run: Run, name: str, share: float, slot: int | None = None, rounds: int | None = None
) -> Run:
    """The run under another id, with a share of the answered requests of one slot (None: all), in
    its first so many rounds (None: all), rejected: what lies among them is named, as recorded."""

    def change(trial: Trial) -> Trial:
        if (slot is not None and trial.slot != slot) or trial.round > (rounds or trial.round):
            return trial
        client = trial.client
        ok = round(client.outcomes.ok * (1 - share))
        lost = client.outcomes.ok - ok
        outcomes = msgspec.structs.replace(
            client.outcomes, ok=ok, rejected=client.outcomes.rejected + lost
        )
        rate = ok / client.scheduled
        beyond = ["mean", "max", *(name for name, q in _SHARES.items() if rate < q)] if lost else []
        gone: dict[str, None] = dict.fromkeys(beyond)
        client = msgspec.structs.replace(
            client,
            outcomes=outcomes,
            success_rate=rate,
            beyond=beyond,
            response_us=msgspec.structs.replace(client.response_us, **gone),
            service_us=msgspec.structs.replace(client.service_us, **gone),
        )
        return msgspec.structs.replace(trial, client=client)

    return summed_up(run, name, [change(trial) for trial in run.trials])


_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


def summed_up(run: Run, name: str, trials: list[Trial]) -> Run:
    """The run under another id with these trials, and what follows from them."""
    return msgspec.structs.replace(
        run,
        id=name,
        trials=trials,
        cells=build_cells(run.settings, trials),
        comparisons=build_comparisons(run.settings, trials),
    )


def changed(run: Run, name: str, **changes: Any) -> Run:
    """The run under another id, with other settings or another environment."""
    settings = {k: v for k, v in changes.items() if k in run.settings.__struct_fields__}
    machine = {k: v for k, v in changes.items() if k in run.environment.__struct_fields__}
    others = {k: v for k, v in changes.items() if k not in settings and k not in machine}
    return msgspec.structs.replace(
        _about(run, msgspec.structs.replace(run.settings, **settings)),
        id=name,
        environment=msgspec.structs.replace(run.environment, **machine),
        **others,
    )


def _about(run: Run, settings: Settings) -> Run:
    """The run with other settings, its figures those of their backends and levels."""
    names = dict(enumerate(settings.backends))
    levels = dict(zip(run.settings.rps, settings.rps, strict=True))
    replace = msgspec.structs.replace
    return replace(
        run,
        settings=settings,
        trials=[replace(t, backend=names[t.slot], rps=levels[t.rps]) for t in run.trials],
        cells=[replace(c, backend=names[c.slot], rps=levels[c.rps]) for c in run.cells],
        comparisons=[
            replace(c, baseline=names[0], contender=names[c.slot], rps=levels[c.rps])
            for c in run.comparisons
        ],
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
    run = msgspec.structs.replace(run, sources=sources, settings=settings)
    return summed_up(run, run.id, trials)


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
