"""What is left out of blocks: a burn-in at their start, seen of a server that has one and left out
where the interval says; and blocks of which somebody else had the CPU, from their p99."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.core.metrics import BLOCK_P99
from harness.core.record import Block, BlockTimes, OtherWork, Trial
from harness.designs.blocks import plan_restart
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.blocks import run_restart, typical
from harness.studies.compare.blocks import as_compared
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
    (line,) = block_sentences(make_run(as_compared(trials), **IN_BLOCKS))
    return line


@pytest.mark.parametrize("ratio", [1.3, 0.8])
def test_a_start_that_differs_in_one_arm_is_left_out_of_both(ratio: float) -> None:
    trials = as_compared(starting({0: 1.0, 1: ratio}))
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
    assert as_compared(trials) == trials
    assert "the first tenth of a block took" in told(trials)
    assert "left out" not in told(trials)


def test_too_few_restarts_leave_nothing_out() -> None:
    trials = [t for t in starting({0: 1.0, 1: 1.3}) if t.round < 5]
    assert as_compared(trials) == trials


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


TOOK = OtherWork(cpu_ms=5.0, name="backup")


def beside(disturbed: Any, ratio: float = 1.2) -> list[Trial]:
    """Eight restarts of two arms whose undisturbed p99 has this ratio; `disturbed(slot, round,
    pair)` tells the blocks in which it was 20 times as long, whatever the arm."""

    def made(trial: Trial, block: Block) -> Block:
        p99 = 300.0 * (ratio if trial.slot else 1.0)
        if not disturbed(trial.slot, trial.round, block.pair):
            return _with_p99(block, p99)
        return msgspec.structs.replace(_with_p99(block, 20 * p99), disturbed=True, other_work=TOOK)

    found = []
    for trial in trials_of():
        blocks = [made(trial, block) for block in trial.blocks]
        client = msgspec.structs.replace(trial.client, block_response_us=typical(blocks))
        found.append(msgspec.structs.replace(trial, blocks=blocks, client=client))
    return found


def _with_p99(block: Block, p99: float) -> Block:
    times = msgspec.structs.replace(block.response_us, p99=p99)
    return msgspec.structs.replace(block, response_us=times)


def one_of_each_pair(slot: int, number: int, pair: int) -> bool:
    """Now the one, now the other, so that no pair is left alone."""
    return (slot + number + pair * pair // 3) % 2 == 0


def p99_of(trials: list[Trial], tmp_path: Any) -> Any:
    run = ComparePlanner(make_settings(**IN_BLOCKS)).conclude(
        make_run(trials, **IN_BLOCKS), tmp_path
    )
    (found,) = (c for c in run.comparisons if c.metric == BLOCK_P99)
    return found


def test_a_p99_is_compared_without_the_blocks_that_others_disturbed(tmp_path: Any) -> None:
    trials = beside(one_of_each_pair)
    found = p99_of(trials, tmp_path)
    assert (found.ratio, found.verdict) == (pytest.approx(1.2), "worse")
    compared = as_compared(trials)
    assert all(trial.client.block_disturbed_left_out for trial in compared)
    times = [trial.client.block_response_us for trial in compared]
    assert {each.p99 for each in times if each is not None} == {300.0, 360.0}
    assert {each.p50 for each in times if each is not None} == {100.0}
    line = told(trials)
    assert "other work disturbed 50.0 % of them (backup 5.0 ms at a time)" in line
    assert "and a p99 is compared without these" in line


def test_where_nobody_disturbed_nothing_is_left_out(tmp_path: Any) -> None:
    trials = beside(lambda *_: False)
    assert as_compared(trials) == trials
    assert p99_of(trials, tmp_path).ratio == pytest.approx(1.2)
    assert "disturbed" not in told(trials)


def test_a_restart_whose_blocks_were_all_disturbed_keeps_them(tmp_path: Any) -> None:
    """Both arms are taken as they are there, and the others without."""
    trials = beside(lambda slot, n, pair: n == 3 or one_of_each_pair(slot, n, pair))
    compared = as_compared(trials)
    assert {t.round for t in compared if not t.client.block_disturbed_left_out} == {3}
    assert p99_of(trials, tmp_path).ratio == pytest.approx(1.2)
    assert "and a p99 is compared without these in 14 of 16 trials" in told(trials)


def test_a_machine_that_is_always_busy_leaves_nothing_out(tmp_path: Any) -> None:
    trials = beside(lambda *_: True)
    assert as_compared(trials) == trials
    assert p99_of(trials, tmp_path).ratio == pytest.approx(1.2)
    assert "disturbed 100.0 % of them" in told(trials)
    assert "and no restart has others for its p99" in told(trials)


def test_what_comes_with_one_arm_is_its_own_doing(tmp_path: Any) -> None:
    """A server that wakes somebody else up in six of its seven blocks is not flattered by leaving
    them out: its p99 is the one that its users see."""
    trials = beside(lambda slot, _, pair: slot == 1 and pair > 1, ratio=1.0)
    assert as_compared(trials) == trials
    assert p99_of(trials, tmp_path).verdict == "worse"
    assert "not evenly beside thread-per-request and thread-pool, so a p99 keeps them" in told(
        trials
    )


def test_failures_are_not_left_out_with_the_median(tmp_path: Any) -> None:
    """A p99 among the failures in all blocks that count is infinite, however typical the rest."""

    def failing(trial: Trial) -> Trial:
        blocks = [
            msgspec.structs.replace(
                b, response_us=msgspec.structs.replace(b.response_us, p99=None), beyond=["p99"]
            )
            for b in trial.blocks
        ]
        return msgspec.structs.replace(trial, blocks=blocks)

    trials = [failing(t) if t.slot else t for t in beside(one_of_each_pair)]
    found = p99_of(trials, tmp_path)
    assert found.verdict == "worse"
    assert found.beyond == ["ratio", "ci_low", "ci_high"]
