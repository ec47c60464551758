"""Real runs for the reports: the one in the repository, and awkward ones made from it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pandas as pd
import pytest

from harness.core.record import OUTCOMES
from harness.report.source import Source
from harness.studies.compare.summary import run_finding
from tests.support.sources import long_named_arms, with_settings

Change = Callable[..., Source]


def one_backend(source: Source) -> Source:
    """What a run of the first backend alone would have left."""
    run = with_settings(
        source.run,
        [t for t in source.run.trials if t.slot == 0],
        backends=source.run.settings.backends[:1],
    )
    requests, timeline = (f[f["slot"] == 0] for f in (source.requests, source.timeline))
    return Source(run, requests, timeline)


def all_invalid(source: Source) -> Source:
    """The run as if the generator had been late in every trial."""
    late = {
        "class_": "generator-limited", "valid": False,
        "invalid_reason": "the generator was 4.0 ms late at p99 (limit 1 ms)",
    }  # fmt: skip
    trials = [msgspec.structs.replace(t, **late) for t in source.run.trials]
    return Source(with_settings(source.run, trials), source.requests, source.timeline)


def no_success(source: Source) -> Source:
    """The run as if every request had been refused."""
    nothing = msgspec.convert(dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p999", "max")),
                              type(source.run.trials[0].client.response_us))  # fmt: skip
    trials = []
    for t in source.run.trials:
        counts = dict.fromkeys(OUTCOMES, 0) | {"refused": t.client.scheduled}
        client = msgspec.structs.replace(
            t.client, outcomes=msgspec.convert(counts, type(t.client.outcomes)), success_rate=0.0,
            achieved_rps=0.0, response_us=nothing, service_us=nothing, connect_us=nothing,
            response_us_by_outcome={},
        )  # fmt: skip
        trials.append(
            msgspec.structs.replace(t, class_="server-saturated", client=client, server=None)
        )
    rows = source.requests.assign(
        outcome=pd.Categorical(["refused"] * len(source.requests), categories=list(OUTCOMES))
    )
    return Source(with_settings(source.run, trials), rows, source.timeline)


def no_trial(source: Source) -> Source:
    """A run that was interrupted in its first trial."""
    run = msgspec.structs.replace(
        with_settings(source.run, []), complete=False, incomplete_reason="interrupted in trial 1"
    )
    return Source(run, source.requests.iloc[:0], source.timeline.iloc[:0])


def partial(source: Source) -> Source:
    """A run that ended after one round."""
    run = with_settings(source.run, [t for t in source.run.trials if t.round == 1])
    run = msgspec.structs.replace(run, complete=False, incomplete_reason="the disk was full")
    requests, timeline = (f[f["round"] == 1] for f in (source.requests, source.timeline))
    return Source(run, requests, timeline)


def against_itself(source: Source) -> Source:
    """The shape of a control run."""
    name = source.run.settings.backends[0]
    trials = [msgspec.structs.replace(t, backend=name) for t in source.run.trials]
    run = with_settings(source.run, trials, backends=[name, name])
    return Source(run, source.requests.assign(backend=name), source.timeline)


def three_arms(source: Source) -> Source:
    """The second backend twice, the second time with twice the CPU per request."""
    backends = [*source.run.settings.backends, source.run.settings.backends[1]]
    trials = [*source.run.trials]
    for t in source.run.trials:
        if t.slot == 1 and t.server is not None:
            cpu = t.server.cpu_us_per_request
            twice = msgspec.structs.replace(cpu, total=2 * (cpu.total or 0.0))
            server = msgspec.structs.replace(t.server, cpu_us_per_request=twice)
            trials.append(msgspec.structs.replace(t, slot=2, server=server))
    requests, timeline = (
        pd.concat([f, f[f["slot"] == 1].assign(slot=2)], ignore_index=True)
        for f in (source.requests, source.timeline)
    )
    run = with_settings(source.run, trials, backends=backends)
    run = msgspec.structs.replace(run, finding=run_finding(run))
    return Source(run, requests, timeline)


@pytest.fixture(scope="session")
def three(source: Source) -> Source:
    """A run of three arms, two of them of one backend."""
    return three_arms(source)


AWKWARD: dict[str, Callable[[Source], Source]] = {
    "one backend": one_backend,
    "all invalid": all_invalid,
    "no success": no_success,
    "no trial": no_trial,
    "partial": partial,
    "a backend against itself": against_itself,
    "arms with long names": long_named_arms,
    "three arms": three_arms,
}


@pytest.fixture(params=list(AWKWARD.values()), ids=list(AWKWARD))
def awkward(request: pytest.FixtureRequest, source: Source) -> Source:
    """Each awkward run in turn."""
    made: Source = request.param(source)
    return made
