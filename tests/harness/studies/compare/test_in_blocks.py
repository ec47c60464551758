"""`labrun compare --design blocks`: what is compared, and what is measured again otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.core.record import Block, CpuPerRequest
from harness.designs.trials import PlannedRestart, PlannedTrial, StartOver
from harness.reading.runs import load_run
from harness.studies.compare.comparison import build_comparisons
from harness.studies.compare.planner import ComparePlanner
from tests.support.blocks import IN_BLOCKS, block, trials_of
from tests.support.labrun import Labrun, assert_measured
from tests.support.made import make_settings, make_trial


def test_pairs_cancel_what_is_slower_than_they_are() -> None:
    settings = make_settings(**IN_BLOCKS)
    found = {c.metric: c for c in build_comparisons(settings, trials_of())}
    cpu = found["server.cpu_us_per_request.total"]
    assert cpu.ratio == pytest.approx(1.1)
    assert cpu.ci_low == pytest.approx(1.1)
    assert cpu.ci_high == pytest.approx(1.1)
    assert cpu.verdict == "worse"
    assert cpu.sd_within == pytest.approx(0.0)
    assert found["client.block_response_us.p50"].verdict == "cannot-tell"


def test_what_no_block_has_is_compared_by_the_restarts_own_figures() -> None:
    apart: dict[str, Any] = {"context_switches_per_s": None, "context_switches_per_request": None}
    trials = [
        make_trial(slot, number, blocks=[block(1, **apart)])
        for number in range(1, 9)
        for slot in (0, 1)
    ]
    found = {c.metric: c for c in build_comparisons(make_settings(**IN_BLOCKS), trials)}
    switches = found["server.context_switches.per_request"]
    assert (switches.ratio, switches.rounds, switches.sd_within) == (1.0, 8, None)


def test_whole_trials_have_no_figures_of_blocks() -> None:
    trials = [make_trial(slot, number) for number in range(1, 6) for slot in (0, 1)]
    found = {c.metric for c in build_comparisons(make_settings(), trials)}
    assert "client.block_response_us.p50" not in found


def test_blocks_that_answered_nothing_do_not_vanish() -> None:
    """Of seven blocks the contender answers in one, and fast: that is no verdict (point 2)."""
    nothing = CpuPerRequest(total=None, handler=None, overhead=None)

    def blocks(slot: int) -> list[Block]:
        silent: dict[str, Any] = (
            {"ok": 0, "answered": 0, "cpu_us_per_request": nothing} if slot else {}
        )
        return [
            block(1, cpu_us=50.0 if slot else 100.0),
            *(block(n, **silent) for n in range(2, 8)),
        ]

    trials = [make_trial(slot, n, blocks=blocks(slot)) for n in range(1, 9) for slot in (0, 1)]
    found = {c.metric: c for c in build_comparisons(make_settings(**IN_BLOCKS), trials)}
    assert found["server.cpu_us_per_request.total"].verdict in ("cannot-tell", "not-comparable")


def test_late_pairs_are_counted_in_the_note() -> None:
    """Whoever is late is left out, and that is said (point 2)."""
    settings, late = make_settings(**IN_BLOCKS), [block(1, late=True)]
    trials = [
        make_trial(slot, n, blocks=(late if slot else [block(1)]) + [block(k) for k in range(2, 8)])
        for n in range(1, 9)
        for slot in (0, 1)
    ]
    found = {c.metric: c for c in build_comparisons(settings, trials)}
    note = found["client.block_response_us.p50"].note
    assert note is not None
    assert note.endswith("8 of 56 pairs of blocks were left out: a server was not idle in time")


def test_late_pairs_are_left_out() -> None:
    settings = make_settings(**IN_BLOCKS)
    trials = trials_of(late=True)
    found = {c.metric: c for c in build_comparisons(settings, trials)}
    assert found["server.cpu_us_per_request.total"].ratio is None


def test_a_restart_is_planned_until_all_are_there() -> None:
    settings = make_settings(**IN_BLOCKS)
    planner, trials = ComparePlanner(settings), trials_of()
    step = planner.next_trial([])
    assert isinstance(step, PlannedRestart)
    assert (step.round, len(step.blocks)) == (1, 14)
    third = planner.next_trial(trials[:4])
    assert isinstance(third, PlannedRestart)
    assert third.round == 3
    assert planner.next_trial(trials) is None


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"late": True}, "thread-pool was not idle in time after 14 of 14 blocks"),
        ({"others_cpu_share": 0.02}, "idle servers used 2.0 % of a CPU"),
        ({"p50_us": 400_000.0}, "shorter than three typical response times of thread-pool"),
    ],
)
def test_a_level_that_blocks_cannot_measure_is_measured_in_whole_trials(
    spoilt: dict[str, Any], words: str
) -> None:
    settings = make_settings(**IN_BLOCKS)
    planner = ComparePlanner(settings)
    trials = trials_of(**spoilt)[:4]  # two restarts
    step = planner.next_trial(trials)
    assert isinstance(step, StartOver)
    assert step.rps == 2000.0
    assert words in step.why
    again = planner.next_trial([])
    assert isinstance(again, PlannedTrial)


def test_one_disturbed_restart_does_not_end_the_blocks_of_a_level() -> None:
    settings = make_settings(**IN_BLOCKS)
    step = ComparePlanner(settings).next_trial(trials_of(late=True)[:2])
    assert isinstance(step, PlannedRestart)
    alone = make_settings(**IN_BLOCKS | {"rounds": 1})
    assert isinstance(ComparePlanner(alone).next_trial(trials_of(late=True)[:2]), StartOver)


@pytest.fixture
def labrun_in(labrun: Labrun) -> Labrun:
    def run(*arguments: str) -> Any:
        return labrun("compare", "--design", "blocks", *arguments)

    return run


def the_folder(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "results").iterdir()
    return folder


def test_a_run_in_blocks_for_real(labrun_in: Labrun, tmp_path: Path) -> None:
    done = labrun_in("--rps", "1000", "--rounds", "2", "--duration", "1", "--warmup", "0.2")
    assert_measured(done.returncode, done.stderr)
    run = load_run(the_folder(tmp_path))
    assert run.complete
    assert (run.settings.design, run.settings.block_s) == ("blocks", 0.5)
    assert len(run.trials) in (4, 8)  # 8: the generator was late, and a level was repeated
    assert all(len(trial.blocks) == 2 for trial in run.trials)
    assert len(pd.read_parquet(the_folder(tmp_path) / "blocks.parquet")) == 2 * len(run.trials)
    assert "restarts of 1 s in blocks of 0.5 s" in done.stdout
    assert "p99 of a block" in done.stdout
    assert (the_folder(tmp_path) / "report.html").is_file()


def test_backlogs_are_not_hidden_between_blocks(labrun_in: Labrun, tmp_path: Path) -> None:
    """A server that is too slow works off each backlog while the other has its turn; so the level
    is measured again in whole trials, and those are what the record has."""
    done = labrun_in("--rps", "2500", "--rounds", "1", "--duration", "1", "--block", "0.2",
                     "--warmup", "0", "--workload", "io:1ms", "--workers", "1",
                     "--max-threads", "1", "--bare")  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    record = json.loads((the_folder(tmp_path) / "run.json").read_text("utf-8"))
    assert [trial["blocks"] for trial in record["trials"]] == [[], []]
    assert any("measured again in whole trials" in told for told in record["warnings"])
    assert "measured again in whole trials" in done.stdout
    rows = pd.read_parquet(the_folder(tmp_path) / "requests.parquet")
    assert len(rows) == sum(t["client"]["scheduled"] for t in record["trials"])


def test_too_few_descriptors_for_all_servers_are_said(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("compare", "--rps", "200", "--rounds", "1", "--duration", "0.6", "--warmup", "0",
                  "--bare", limit_files=530)  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    record = json.loads((the_folder(tmp_path) / "run.json").read_text("utf-8"))
    assert [trial["blocks"] for trial in record["trials"]] == [[], []]
    (told,) = [told for told in record["warnings"] if "whole trials" in told]
    assert told == (
        "200 RPS: 2 servers and the logs of 2 blocks at once need 538 file descriptors, and 530 "
        "are allowed, so this level was measured in whole trials"
    )
    assert told in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--block", "0"], "--block must be from 0.1 to 60, not 0"),
        (["--block", "9"], "--block must be from 0.1 to 3.5, not 9"),
        (["--workload", "io:400ms"], "--block 0.5: a handler takes 0.4 s"),
        (["--driver", "closed-loop"], "--driver closed-loop: blocks are for the open loop"),
    ],
)
def test_what_cannot_be_in_blocks_is_one_sentence(
    labrun_in: Labrun, arguments: list[str], words: str
) -> None:
    done = labrun_in(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_block_without_blocks_is_refused(labrun: Labrun) -> None:
    done = labrun("compare", "--design", "trials", "--block", "1")
    assert done.returncode == 2
    assert "--block is for --design blocks" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--precision", "p98=1%"], "there is no 'p98'; take p50"),
        (["--precision", "p99=much"], "'much' is no share"),
        (["--precision", "p99=1%,p99=2%"], "names p99 twice"),
        (["--precision", "p99=5%", "--rounds", "9"], "leave out --rounds 9"),
        (["--precision", "p99=0%"], "--precision p99=0%: take from 0.1% to 100%"),
        (["--precision", "p99=nan"], "--precision p99=nan: take from 0.1% to 100%"),
        (["--precision", "p99=5%", "--backends", "thread-pool"], "one backend alone has none"),
        (["--most", "5m"], "--most is for --precision"),
        (["--precision", "p99=5%", "--most", "soon"], "'soon' is no time"),
        (["--precision", "p99=5%", "--most", "1s"], "--most must be from 30"),
    ],
)
def test_a_precision_that_cannot_be_is_one_sentence(
    labrun_in: Labrun, arguments: list[str], words: str
) -> None:
    done = labrun_in(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_precision_goes_on_look_by_look() -> None:
    settings = make_settings(**IN_BLOCKS, precision={"cpu": 0.02})
    planner = ComparePlanner(settings)
    assert planner.next_trial(trials_of()) is None  # all pairs say the same: it is known
    wide = ComparePlanner(make_settings(**IN_BLOCKS, precision={"switches": 0.001, "p99": 0.01}))
    trials = [
        make_trial(t.slot, t.round, blocks=[
            block(b.pair, p50_us=100.0 + 9 * t.round * t.slot) for b in t.blocks
        ])
        for t in trials_of()
    ]  # fmt: skip
    step = wide.next_trial(trials)
    assert isinstance(step, PlannedRestart)
    assert step.round == 9
