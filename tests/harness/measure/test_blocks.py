"""One restart in blocks, with real servers: accounts, figures, what is late, what dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.core.record import Settings
from harness.designs.blocks import plan_restart
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.blocks import run_restart, typical
from harness.measure.request_rows import blocks_frame
from harness.measure.trial import Progress, TrialResult, Watch
from harness.studies.compare.blocks import block_pairs
from tests.support.made import make_settings

RPS = 1000.0


def settings_of(**changes: object) -> Settings:
    return make_settings(
        **{"design": "blocks", "block_s": 0.5, "duration_s": 1.0, "warmup_s": 0.2, "rps": [RPS]}
        | changes
    )


def restart(settings: Settings, watch: Watch | None = None) -> list[TrialResult]:
    planned = plan_restart(settings, settings.rps[0], 1)
    return run_restart(planned, settings, plan_cpus(), raise_descriptor_limit(), watch)


@pytest.fixture(scope="module")
def results() -> list[TrialResult]:
    """Both backends, two blocks each, on one schedule a pair."""
    return restart(settings_of())


def test_a_restart_is_a_trial_of_each_arm_with_its_blocks(results: list[TrialResult]) -> None:
    assert [result.trial.slot for result in results] == [0, 1]
    for result in results:
        trial = result.trial
        assert [block.pair for block in trial.blocks] == [1, 2]
        assert trial.client.scheduled == sum(block.scheduled for block in trial.blocks)
        assert trial.client.outcomes.ok == sum(block.ok for block in trial.blocks)
        assert trial.window_s >= 1.0
    one, other = (result.trial for result in results)
    assert [b.scheduled for b in one.blocks] == [b.scheduled for b in other.blocks]
    assert {b.place for b in one.blocks} == {0, 1}


def test_the_accounts_of_all_blocks_agree(results: list[TrialResult]) -> None:
    """The rows, the generator's integral and the server's counts, spliced, are one account."""
    for result in results:
        trial = result.trial
        assert not [told for told in trial.warnings if "reconcile" in told]
        assert trial.client.little_gap_us is not None
        assert abs(trial.client.little_gap_us) < 5
        assert trial.server is not None
        assert trial.server.account.accepted == sum(b.accepted or 0 for b in trial.blocks)
        assert trial.server.account.accepted == trial.client.scheduled - sum(
            (trial.client.outcomes.refused, trial.client.outcomes.unsent)
        )


def test_no_time_between_blocks_is_in_a_figure(results: list[TrialResult]) -> None:
    """The window is two blocks long and what followed each, not the whole restart."""
    for result in results:
        server, blocks = result.trial.server, result.trial.blocks
        assert server is not None
        assert server.window_s is not None
        began = max(block.began_s for block in blocks)
        slowest_s = sum(block.idle_after_ms or 0.0 for block in blocks) / 1e3
        assert server.window_s >= 1.0
        assert result.timeline["t_ms"].max() <= 1000 * (server.window_s + slowest_s + 1)
        assert began > 0.5  # the others had their block in between


def test_the_rows_say_which_block_they_are_of(results: list[TrialResult]) -> None:
    for result in results:
        rows, blocks = result.requests, result.trial.blocks
        assert rows["block"].value_counts().to_dict() == {b.pair: b.scheduled for b in blocks}
        for block in blocks:
            times = rows.loc[rows["block"] == block.pair, "intended_us"]
            assert (times >= (block.pair - 1) * 500_000).all()
            assert (times < block.pair * 500_000).all()


def test_a_typical_block_is_the_median_of_its_blocks(results: list[TrialResult]) -> None:
    for result in results:
        blocks, times = result.trial.blocks, typical(result.trial.blocks)
        assert times == result.trial.client.block_response_us
        assert times is not None
        medians = [block.response_us.p50 for block in blocks if "p50" not in block.beyond]
        if len(medians) == 2:
            assert times.p50 == pytest.approx(np.median(np.array(medians, dtype=float)))


def test_the_table_of_blocks_has_them_all(results: list[TrialResult]) -> None:
    frame = blocks_frame([result.trial for result in results])
    assert len(frame) == 4
    assert frame["scheduled"].sum() == sum(r.trial.client.scheduled for r in results)


def test_a_server_that_is_not_idle_in_time_makes_its_block_late() -> None:
    """2 ms of CPU a request at 1,000 a second: a load of 0.2 s takes twice as long at least."""
    results = restart(settings_of(workload="cpu:2ms", duration_s=0.2, warmup_s=0.0))
    for result in results:
        (block,) = result.trial.blocks
        assert block.late
    assert block_pairs(*(result.trial for result in results)) == []


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="this kernel keeps no account of each task"
)
def test_a_block_says_who_else_had_the_cpu(results: list[TrialResult]) -> None:
    for result in results:
        for block in result.trial.blocks:
            assert block.other_work is not None
            taken_ms = max(block.other_work.cpu_ms, block.steal_ms or 0.0)
            assert block.disturbed == (taken_ms > 500 / 300)
            assert (block.other_work.name is None) == (block.other_work.cpu_ms == 0)
    frame = blocks_frame([result.trial for result in results])
    assert frame["other_work_cpu_ms"].notna().all()


def test_too_few_requests_give_a_block_no_p999(results: list[TrialResult]) -> None:
    for result in results:
        for block in result.trial.blocks:
            assert block.response_us.p999 is None
            assert "p999" not in block.beyond


def test_a_server_that_dies_in_mid_block_fails_from_then_on_and_the_other_goes_on() -> None:
    """Killed in its first block: its later ones are refused, and its trial says who died."""

    killed: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.planned.backend == "thread-pool" and not killed:
            (server,) = (
                child for child in psutil.Process().children()
                if {"servers", "thread-pool"} <= set(child.cmdline())
            )  # fmt: skip
            os.kill(server.pid, signal.SIGKILL)
            killed.append(server.pid)

    one, other = restart(settings_of(rps=[500.0], block_s=1.0, duration_s=2.0), watch)
    assert one.trial.died is None
    assert one.trial.server is not None
    assert other.trial.died == "server"
    assert other.trial.server is None
    assert other.trial.client.outcomes.refused > 0
    assert other.trial.client.scheduled == other.trial.client.outcomes.total()
    (told,) = (told for told in other.trial.warnings if "died" in told)
    assert told.startswith("the server died (SIGKILL), after ")
