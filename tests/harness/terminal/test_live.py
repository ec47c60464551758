"""The live view of a run in blocks: intervals that shrink from restart to restart, provisional."""

from __future__ import annotations

from io import StringIO
from typing import Any

import msgspec
import pytest
from rich.console import Console

from harness.core.record import Settings, Trial
from harness.terminal.live import LiveView, make_watcher
from tests.support.blocks import IN_BLOCKS, block, trials_of
from tests.support.made import make_settings, make_trial


def noisy() -> list[Trial]:
    """Eight restarts; the contender takes about 1.1 times the CPU, a little more or less."""
    return [
        make_trial(t.slot, t.round, blocks=[
            block(b.pair, cpu_us=100.0 * (1.1 + 0.01 * (t.round % 4) if t.slot else 1.0))
            for b in t.blocks
        ])
        for t in trials_of()
    ]  # fmt: skip


def screen(settings: Settings, trials: list[Trial]) -> list[str]:
    """What stands on a terminal of 80 columns when these trials have ended."""
    view, out = LiveView(settings), StringIO()
    for trial in trials:
        view.trial_ended(trial)
    Console(file=out, width=80, color_system=None).print(view.render())
    return out.getvalue().splitlines()


def test_intervals_are_shown_restart_by_restart_and_called_provisional() -> None:
    settings, trials = make_settings(**IN_BLOCKS), noisy()
    before = screen(settings, trials[:6])
    assert before[-4] == "provisional, 2,000 RPS after 3 restarts (an interval needs 5)"
    bars = []
    for restarts in (5, 6, 7, 8):
        lines = screen(settings, trials[: 2 * restarts])
        assert max(map(len, lines)) <= 80
        assert lines[-4] == f"provisional, 2,000 RPS after {restarts} restarts"
        (cpu,) = (line for line in lines[-3:] if line.strip().startswith("cpu"))
        assert "1.1" in cpu
        assert " to " in cpu
        assert "±" in cpu
        bars.append(len(cpu.split()[-1]))
    assert bars == [1, 2, 3, 4]  # a bar for each restart with an interval


def test_what_precision_asks_for_stands_beside_it() -> None:
    settings = make_settings(**IN_BLOCKS, precision={"switches": 0.02, "cpu": 0.05})
    lines = screen(settings, noisy())
    assert [line.split()[0] for line in lines[-2:]] == ["switches", "cpu"]
    assert "of 5 %" in lines[-1]


def test_a_restart_that_is_not_whole_adds_nothing() -> None:
    settings, trials = make_settings(**IN_BLOCKS), noisy()
    assert "after 5 restarts" in "".join(screen(settings, trials[:11]))


def test_restarts_that_are_not_compared_are_counted() -> None:
    trials = noisy()[:12]
    trials[5] = msgspec.structs.replace(trials[5], class_="generator-limited")
    lines = screen(make_settings(**IN_BLOCKS), trials)
    assert lines[-4] == "provisional, 2,000 RPS after 6 restarts, 1 left out"
    assert "±" in lines[-1]


def test_whole_trials_have_none_and_neither_has_a_level_that_is_measured_again() -> None:
    settings = make_settings(**IN_BLOCKS)
    again = [make_trial(slot, 1) for slot in (0, 1)]
    assert "provisional" not in "".join(screen(settings, again))
    assert "provisional" not in "".join(screen(settings, [*noisy()[:4], *again]))


def test_several_contenders_show_the_widest() -> None:
    settings = make_settings(**IN_BLOCKS, backends=["thread-pool"] * 3)
    third = [make_trial(2, t.round, blocks=t.blocks) for t in noisy() if t.slot == 0]
    lines = screen(settings, [*noisy(), *third])
    assert lines[-4].endswith("after 8 restarts, the widest of 2 pairs")
    assert "1.1" in lines[-1]  # the other pair is equal in every restart


@pytest.mark.parametrize("pairs", [None, [(0, 1)]])
def test_in_a_pipe_each_restart_is_a_line(pairs: Any) -> None:
    out, settings = StringIO(), make_settings(**IN_BLOCKS)
    with make_watcher(Console(file=out), settings, pairs) as watcher:
        for trial in noisy():
            watcher.trial_ended(trial)
    lines = [line for line in out.getvalue().splitlines() if line.startswith("provisional")]
    assert len(lines) == 8
    assert lines[3].startswith("provisional, 2,000 RPS after 4 restarts (an interval needs 5): p50")
    assert "; cpu 1.1" in lines[7]
    assert "\x1b" not in out.getvalue()
