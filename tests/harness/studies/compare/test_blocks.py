"""A burn-in at a block's start: seen of a server that has one, left out where the interval says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.core.record import BlockTimes, Trial
from harness.designs.blocks import plan_restart
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.blocks import run_restart
from harness.studies.compare.blocks import without_burn_in
from harness.studies.compare.planner import ComparePlanner
from harness.studies.compare.remarks import block_sentences
from tests.support.blocks import IN_BLOCKS, trials_of
from tests.support.made import make_run, make_settings
from tests.support.serving import PLUGINS

BLOCK_P50 = "client.block_response_us.p50"


def test_a_server_that_is_cold_after_a_rest_has_a_burn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 of its first 50 ms are 3 ms slower, and nothing else is; the other server has none. The
    medians of single tenths are the machine's affair, their order of magnitude is not."""
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    settings = make_settings(
        **IN_BLOCKS | {"duration_s": 1.0}, rps=[1000.0],
        backends=["thread-pool", "cold_start:ColdStart"],
    )  # fmt: skip
    planned = plan_restart(settings, 1000.0, 1)
    plain, cold = (
        result.trial
        for result in run_restart(planned, settings, plan_cpus(), raise_descriptor_limit())
    )
    for trial in (plain, cold):
        assert len(trial.client.block_curve_us) == 10
        for block in trial.blocks:
            assert block.settled_response_us is not None
    first, *later = (value or 0.0 for value in cold.client.block_curve_us)
    assert first >= 3000.0
    assert cold.client.block_start_ratio is not None
    if min(later) < 2000.0:  # else the machine was as slow as the server's start
        assert cold.client.block_start_ratio > 1.0


def starting(ratios: dict[int, float], spread: float = 0.01, **curve: Any) -> list[Trial]:
    """Eight restarts of two arms, with these start ratios by slot, give or take."""
    settled = BlockTimes(p50=90.0, p90=90.0, p95=90.0, p99=90.0)
    found = []
    for trial in trials_of():
        ratio = ratios[trial.slot] * (1 + spread * (trial.round % 3 - 1))
        client = msgspec.structs.replace(
            trial.client, block_start_ratio=ratio, block_curve_us=[ratio, *[1.0] * 9], **curve
        )
        blocks = [msgspec.structs.replace(b, settled_response_us=settled) for b in trial.blocks]
        found.append(msgspec.structs.replace(trial, client=client, blocks=blocks))
    return found


def told(trials: list[Trial]) -> str:
    (line,) = block_sentences(make_run(without_burn_in(trials), **IN_BLOCKS))
    return line


@pytest.mark.parametrize("ratio", [1.3, 0.8])
def test_a_start_that_differs_in_one_arm_is_left_out_of_both(ratio: float) -> None:
    trials = without_burn_in(starting({0: 1.0, 1: ratio}))
    assert all(trial.client.block_start_left_out for trial in trials)
    times = [trial.client.block_response_us for trial in trials]
    assert {each.p50 for each in times if each is not None} == {90.0}
    line = told(trials)
    assert "thread-pool: " in line
    assert line.endswith("times) and is left out of a block's times")


@pytest.mark.parametrize(("ratio", "spread"), [(1.0, 0.01), (1.01, 0.001), (1.3, 0.4)])
def test_a_start_that_cannot_be_told_from_the_rest_stays(ratio: float, spread: float) -> None:
    """None, less than 2 %, or as it may be by chance."""
    trials = starting({0: 1.0, 1: ratio}, spread)
    assert without_burn_in(trials) == trials
    assert "the first tenth of a block took" in told(trials)
    assert "left out" not in told(trials)


def test_too_few_restarts_leave_nothing_out() -> None:
    trials = [t for t in starting({0: 1.0, 1: 1.3}) if t.round < 5]
    assert without_burn_in(trials) == trials


def test_a_burn_in_of_two_tenths_is_said() -> None:
    trials = [
        msgspec.structs.replace(t, client=msgspec.structs.replace(
            t.client, block_curve_us=[1.4, 1.2, *[1.0] * 8]))
        for t in starting({0: 1.0, 1: 1.3})
    ]  # fmt: skip
    assert "but the second differs too: take longer blocks (--block)" in told(trials)


def test_what_is_compared_is_without_it(tmp_path: Any) -> None:
    """Settled blocks are all alike here; whole ones of the contender are twice as slow."""
    trials = [
        msgspec.structs.replace(t, blocks=[
            msgspec.structs.replace(b, response_us=msgspec.structs.replace(
                b.response_us, p50=200.0 if t.slot else 100.0))
            for b in t.blocks
        ])
        for t in starting({0: 1.0, 1: 1.3})
    ]  # fmt: skip
    settings = make_settings(**IN_BLOCKS)
    for measured, ratio in ((trials, 1.0), ([old(t) for t in trials], 2.0)):
        run = ComparePlanner(settings).conclude(make_run(measured, **IN_BLOCKS), tmp_path)
        (found,) = (c for c in run.comparisons if c.metric == BLOCK_P50)
        assert found.ratio == pytest.approx(ratio)


def old(trial: Trial) -> Trial:
    """As a record has it that was made before there were settled times."""
    blocks = [msgspec.structs.replace(b, settled_response_us=None) for b in trial.blocks]
    return msgspec.structs.replace(trial, blocks=blocks)
