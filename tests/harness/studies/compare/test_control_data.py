"""Every report carries its control: what it could have seen, what is ruled out, false alarms."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import benchmarks.aa
from harness.core.metrics import BLOCK_P99, BY_PATH, HEADLINES, shown
from harness.core.record import Comparison, Control, OtherWork, Run
from harness.core.units import percent
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment
from harness.report.source import with_control
from harness.stats.intervals import Estimate, excluded_effect, minimum_detectable_effect
from harness.studies.compare.aa_control import (
    CONTROL_FILE,
    CONTROL_SCHEMA,
    ControlData,
    ControlRecord,
    ControlRun,
    Machine,
    control_run,
    control_sentences,
    find_control,
    headline_controls,
    read_controls,
    same_settings,
)
from tests.support.blocks import trials_of
from tests.support.made import make_settings as settings

CPU, P99 = "server.cpu_us_per_request.total", "client.response_us.p99"


ENVIRONMENT = read_environment(plan_cpus())


def comparison(metric: str, ratio: float, low: float | None, high: float | None) -> Comparison:
    told = low is not None and high is not None and (low > 1 or high < 1)
    estimate = Estimate(ratio, low, high, 5)
    return Comparison(
        rps=2000.0, baseline="thread-per-request", contender="thread-pool", metric=metric,
        ratio=ratio, ci_low=low, ci_high=high, verdict="better" if told else "cannot-tell",
        rounds=5, ruled_out=excluded_effect(estimate),
        smallest_difference=minimum_detectable_effect(estimate),
    )  # fmt: skip


def run_of(comparisons: list[Comparison], control: Control | None = None, **changes: Any) -> Run:
    return Run(
        schema=1, id="x", created="now", complete=True, command="labrun",
        environment=ENVIRONMENT, settings=settings(**changes), trials=[],
        cells=[], comparisons=comparisons, control=control,
    )  # fmt: skip


def kept(seed: int, *comparisons: Comparison) -> ControlRun:
    return control_run(run_of(list(comparisons), seed=seed))


def record_of(machine: Machine, **changes: Any) -> ControlRecord:
    runs = [
        kept(seed, comparison(CPU, 1.0, 0.9, 1.1), comparison(P99, 1.3, 1.1, 1.5))
        for seed in range(20)
    ]
    backends = ["thread-pool", "thread-pool"]
    data = ControlData(
        machine=machine,
        settings=settings(**({"backends": backends} | changes)),
        runs=runs,
        headline=headline_controls(runs),
    )
    return ControlRecord(schema=CONTROL_SCHEMA, controls=[data])


HERE = Machine.of(ENVIRONMENT)


def test_headlines_are_few_and_are_those_that_sentences_are_about() -> None:
    quoted = {metric.path for _, metric in shown("sentence")} | {"client.success_rate"}
    assert {metric.path for metric in HEADLINES} == quoted
    assert len([metric for metric in HEADLINES if metric.design is None]) == 6


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(1.0, 0.8, 1.1, 5), 0.25),  # 1 / 0.8: the longer arm in logs
        (Estimate(0.5, 0.45, 0.6, 5), 0.2),  # about its own ratio, wherever that is
        (Estimate(1.0, 1.0, 1.0, 5), 0.0),
        (Estimate(1.0, None, None, 4), None),
        (Estimate(0.0, 0.0, 0.0, 5), None),
        (None, None),
    ],
)
def test_the_smallest_difference_is_the_longer_arm_of_the_interval(
    estimate: Estimate | None, expected: float | None
) -> None:
    found = minimum_detectable_effect(estimate)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_ratio_beyond_the_smallest_difference_is_told_apart_and_one_within_is_not() -> None:
    width = comparison(CPU, 1.0, 0.9, 1.1).smallest_difference
    assert width is not None
    for ratio, told in ((1 + width * 1.01, True), (1 + width * 0.9, False)):
        moved = Estimate(ratio, ratio * 0.9, ratio * 1.1, 5)
        assert moved.low is not None
        assert (moved.low > 1) == told


def test_false_alarms_are_counted_for_each_metric_and_only_where_there_was_an_interval() -> None:
    runs = [
        kept(1, comparison(CPU, 1.2, 1.1, 1.3), comparison(P99, 1.0, 0.5, 1.5)),
        kept(2, comparison(CPU, 1.0, 0.9, 1.1), comparison(P99, 1.0, None, None)),
        kept(3, comparison(CPU, 1.0, 0.8, 1.1), comparison("server.threads_peak", 2.0, 1.9, 2.1)),
    ]
    found = {h.metric: h for h in headline_controls(runs)}
    assert (found[CPU].judged, found[CPU].false_alarms) == (3, 1)
    assert found[CPU].ruled_out == pytest.approx(0.25)  # of 0.3, 1/9 and 0.25
    assert (found[P99].judged, found[P99].false_alarms) == (1, 0)
    assert "server.threads_peak" not in found


def test_a_run_says_what_it_could_have_seen_and_what_cannot_tell_rules_out() -> None:
    found = "\n".join(
        control_sentences(
            run_of([comparison(CPU, 0.8, 0.75, 0.85), comparison(P99, 1.0, 0.8, 1.5)])
        )
    )
    assert "smallest difference that could have been seen" in found
    assert f"{BY_PATH[CPU].title} 7 %" in found
    assert f"cannot tell: {BY_PATH[P99].title} (more than 50 % is ruled out)" in found
    assert f"{BY_PATH[CPU].title} (more than" not in found  # it was told apart
    assert "not known (no A/A data are on record" in found


def test_too_few_rounds_could_have_seen_nothing_and_say_so() -> None:
    (first, _) = control_sentences(run_of([comparison(CPU, 0.5, None, None)]))
    assert "no difference of any size could have been seen" in first


def test_the_control_of_the_same_machine_and_settings_is_quoted() -> None:
    run = run_of([comparison(CPU, 0.8, 0.75, 0.85)], rps=[500.0, 2000.0])
    control = find_control(run, record_of(HERE))
    assert (control.backend, control.rps, control.runs) == ("thread-pool", 2000.0, 20)
    said = control_sentences(msgspec.structs.replace(run, control=control))[-1]
    assert "in 20 runs of thread-pool against itself at 2,000 RPS" in said
    assert f"{BY_PATH[CPU].title} 0 of 20" in said
    assert f"{BY_PATH[P99].title} 20 of 20" in said


def test_todays_p99_of_a_block_is_not_quoted_with_a_run_that_had_another() -> None:
    """What is counted now is a p99 without disturbed blocks; a record that names nobody has all."""
    record = record_of(HERE)
    (data,) = record.controls
    block = msgspec.structs.replace(data.headline[0], metric=BLOCK_P99)
    data = msgspec.structs.replace(data, headline=[*data.headline, block])
    record = msgspec.structs.replace(record, controls=[data])
    old = run_of([comparison(CPU, 0.8, 0.75, 0.85)])
    new = msgspec.structs.replace(
        old, trials=trials_of(other_work=OtherWork(cpu_ms=0.0, name=None))
    )
    for run, quoted in ((old, False), (new, True)):
        told = {each.metric for each in find_control(run, record).headline}
        assert (BLOCK_P99 in told) == quoted
        assert CPU in told


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (None, "no A/A data are on record"),
        (record_of(msgspec.structs.replace(HERE, cpu_count=999)), "of another machine"),
        (record_of(HERE, rounds=7), "with other settings"),
        (record_of(HERE, rps=[500.0]), "with other settings"),
        (record_of(HERE, backends=["other", "other"]), "with other settings"),
    ],
)
def test_a_control_of_something_else_is_not_quoted(record: ControlRecord | None, why: str) -> None:
    run = run_of([comparison(CPU, 0.8, 0.75, 0.85)])
    control = find_control(run, record)
    assert control.runs == 0
    assert why in (control.mismatch or "")
    said = control_sentences(msgspec.structs.replace(run, control=control))[-1]
    assert why in said
    assert "not known" in said


def test_seed_and_other_levels_do_not_make_settings_differ_but_all_else_does() -> None:
    assert same_settings(settings(seed=7, rps=[500.0, 2000.0]), settings(), 2000.0)
    for change in ({"rounds": 6}, {"workers": 4}, {"workload": "io:40ms"}, {"driver": "locust"}):
        assert not same_settings(settings(**change), settings(), 2000.0)
    assert not same_settings(settings(), settings(), 500.0)


def test_a_share_is_written_so_that_it_can_be_read() -> None:
    assert [percent(x) for x in (0.004, 0.12, 1.5, 11.0)] == ["0.4 %", "12 %", "150 %", "12×"]


def test_what_cannot_be_read_is_no_control(tmp_path: Path) -> None:
    assert read_controls(tmp_path) is None
    (tmp_path / "control").mkdir()
    (tmp_path / CONTROL_FILE).write_text('{"schema": 1, "contr', encoding="utf-8")
    assert read_controls(tmp_path) is None


Benchmark = Callable[..., tuple[int, str]]


@pytest.fixture
def aa(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Benchmark:
    """Run `benchmarks.aa`, short, into the test's folder: its exit status and what it told."""

    def run(*arguments: str) -> tuple[int, str]:
        short = ["--rounds=1", "--duration=0.5", "--warmup=0", "--rps=200", f"--out={tmp_path}"]
        monkeypatch.setattr(sys, "argv", ["aa", *short, *arguments])
        status = benchmarks.aa.main()
        return status, capsys.readouterr().err

    return run


def test_the_benchmark_goes_on_where_it_stopped(aa: Benchmark, tmp_path: Path) -> None:
    _, told = aa("--runs=1")
    assert "run 1 of 1" in told
    one = read_controls(tmp_path)
    assert one is not None
    status, told = aa("--runs=3", "--step=1")
    assert "run 2 of 2 (seed 2)" in told
    assert len((tmp_path / "control" / "aa.jsonl").read_bytes().splitlines()) == 2
    assert "seed 1" not in told
    both = read_controls(tmp_path)
    assert both is not None
    (data,) = both.controls
    assert data.runs[:1] == one.controls[0].runs
    assert [run.seed for run in data.runs] == [1, 2]
    assert data.machine == HERE
    assert {c.metric for run in data.runs for c in run.comparisons} == {
        metric.path for metric in HEADLINES
    }
    # One round gives no interval, so nothing was judged and the mark is not met.
    assert all(h.judged == 0 for h in data.headline)
    assert status == 1


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--runs=0", "--runs must be 1 or more"),
        ("--rps=1,2", "one level at a time"),
        ("--duration=0", "--duration must be from"),
        ("--backend=nonsense", "nonsense"),
    ],
)
def test_bad_input_is_told_in_a_sentence(aa: Benchmark, argument: str, words: str) -> None:
    status, told = aa(argument)
    assert status == 2
    assert words in told
    assert len(told.splitlines()) == 1


def test_a_damaged_record_is_not_overwritten(aa: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / CONTROL_FILE).write_text("{", encoding="utf-8")
    status, told = aa("--runs=1")
    assert status == 2
    assert "move it out of the way" in told
    assert (tmp_path / CONTROL_FILE).read_text("utf-8") == "{"


def test_a_report_quotes_the_newest_control_that_matches_not_the_one_of_its_run(
    tmp_path: Path,
) -> None:
    """Point 19: "false-alarm rate not known" beside A/A data of just that machine."""
    unknown = Control(backend=None, rps=None, runs=0, headline=[], mismatch="no A/A data")
    run = run_of([comparison(CPU, 0.5, 0.4, 0.6)], unknown)
    assert "not known" in control_sentences(with_control(run, tmp_path))[-1]
    file = tmp_path / CONTROL_FILE
    file.parent.mkdir()
    file.write_bytes(msgspec.json.encode(record_of(HERE)))
    found = with_control(run, tmp_path)
    assert "False alarms on this machine in 20 runs" in control_sentences(found)[-1]
    # Later data of another machine take nothing away from what the run was recorded with.
    other = msgspec.structs.replace(HERE, kernel="9.9")
    file.write_bytes(msgspec.json.encode(record_of(other)))
    assert with_control(found, tmp_path).control == found.control
    # Of one that was recorded with none the reason is that of the data which are there now.
    told = control_sentences(with_control(run, tmp_path))[-1]
    assert "not known (the A/A data on record are of another machine" in told
