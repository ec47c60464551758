from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.core.errors import LabError
from harness.core.metrics import BLOCK_P99
from harness.core.record import Run
from harness.studies.regress.thresholds import DEFAULT_MAX_LOSS, parse_thresholds
from harness.studies.regress.verdict import judge_interleaved, judge_runs
from tests.support.blocks import with_and_without_other_work
from tests.support.changed_runs import (
    assert_one_sentence,
    changed,
    rejecting,
    saved,
    scaled,
    side_by_side,
)
from tests.support.labrun import Labrun

CPU = "server.cpu_us_per_request.total"
ONLY_CPU = [f"{path}=off" for path in DEFAULT_MAX_LOSS if path != CPU]


def test_old_and_new_side_by_side(reference: Run) -> None:
    thresholds = parse_thresholds([*ONLY_CPU, f"{CPU}=5%"], [])
    for factor, outcome in ((1.0, "pass"), (1.04, "pass"), (1.2, "fail"), (0.8, "pass")):
        verdict = judge_interleaved(side_by_side(reference, factor), thresholds)
        assert verdict.outcome == outcome
        assert verdict.confidence == pytest.approx(0.90)  # one figure: 5 % on one side
    assert any("changes that no commit holds" in note for note in verdict.notes)


def test_a_slower_backend_fails_and_the_other_does_not(reference: Run) -> None:
    slower = scaled(reference, "slower", CPU, 3.0, slot=1)
    verdict = judge_runs(reference, slower, parse_thresholds(ONLY_CPU, []))
    outcomes = {(c.backend, c.basis): c.outcome for c in verdict.checks}
    backends = reference.settings.backends
    assert outcomes[(backends[1], "absolute")] == "fail"
    assert outcomes[(backends[1], "ratio")] == "fail"
    assert outcomes[(backends[0], "absolute")] != "fail"


def test_the_same_figures_again_are_never_accused(reference: Run) -> None:
    again = changed(reference, "again")
    assert judge_runs(reference, again, parse_thresholds([], [])).outcome != "fail"


def test_across_machines_only_ratios_are_compared(reference: Run) -> None:
    other = scaled(changed(reference, "x", kernel="9.9"), "other", CPU, 5.0)
    verdict = judge_runs(reference, other, parse_thresholds(ONLY_CPU, []))
    assert {check.basis for check in verdict.checks} == {"ratio"}
    assert verdict.outcome != "fail"  # five times the CPU on both: the ratio is the same
    assert any("kernel" in note and "'9.9'" in note for note in verdict.notes)


def test_a_p99_without_others_work_is_not_held_against_one_with_it(tmp_path: Path) -> None:
    new, old = with_and_without_other_work(tmp_path)
    thresholds = parse_thresholds([], [])
    for candidate, compared in ((old, True), (new, False)):
        verdict = judge_runs(old, changed(candidate, "candidate"), thresholds)
        assert (BLOCK_P99 in {check.metric for check in verdict.checks}) == compared
        assert any("p99 of a typical block is not compared" in n for n in verdict.notes) != compared


def test_a_floor_is_a_floor_of_the_new_value(reference: Run) -> None:
    thresholds = parse_thresholds(["client.success_rate=off"], ["client.success_rate=0.99"])
    low = rejecting(reference, "low", 0.5, slot=0)
    checks = [c for c in judge_runs(reference, low, thresholds).checks if c.basis == "value"]
    assert [c.outcome for c in checks] == ["fail", "pass"]


def test_too_few_rounds_are_said(reference: Run) -> None:
    short = msgspec.structs.replace(side_by_side(reference, 9.0), trials=reference.trials[:2])
    verdict = judge_interleaved(short, parse_thresholds(ONLY_CPU, []))
    assert verdict.outcome == "inconclusive"
    assert "valid round" in str(verdict.checks[0].note)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["client.response_us.p9=10%"], "did you mean client.response_us.p9"),
        (["client.response_us.p99"], "write like client.response_us.p99=10%"),
        (["client.response_us.p99=much"], "'much' is no number"),
        (["client.response_us.p99=-1%"], "from 0%"),
        ([f"{path}=off" for path in DEFAULT_MAX_LOSS], "nothing to check"),
    ],
)
def test_thresholds_that_cannot_be(texts: list[str], words: str) -> None:
    with pytest.raises(LabError, match=words):
        parse_thresholds(texts, [])


def test_what_cannot_be_compared_is_refused_by_name(
    reference: Run, labrun: Labrun, tmp_path: Path
) -> None:
    saved(reference, tmp_path / "base")
    others = (
        (changed(reference, "other", workers=7), ["workers is 16", "7"]),
        (changed(reference, "other", rps=[123.0]), ["no cell in common", "123"]),
        (changed(reference, "other", backends=["a", "b"]), ["no cell in common", "a/b"]),
        (changed(reference, "other", complete=False, incomplete_reason="a fire"),
         ["partial", "a fire"]),
        (changed(reference, reference.id), ["not compared with itself"]),
    )  # fmt: skip
    for number, (other, words) in enumerate(others):
        folder = saved(other, tmp_path / f"other-{number}")
        assert_one_sentence(labrun("regress", "base", folder.name), *words)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "run.json").write_bytes((tmp_path / "base" / "run.json").read_bytes()[:999])
    assert_one_sentence(labrun("regress", "base", "cut"), "cut", "no whole run.json")
    assert_one_sentence(labrun("regress"), "BASELINE", "--against-ref")
    assert_one_sentence(labrun("regress", "base", "base", "--format", "pdf"), "'pdf'")


def test_the_exit_status_is_what_ci_reads(reference: Run, labrun: Labrun, tmp_path: Path) -> None:
    saved(reference, tmp_path / "base")
    saved(scaled(reference, "slower", CPU, 3.0, slot=1), tmp_path / "slower")
    saved(changed(reference, "again"), tmp_path / "again")
    done = labrun("regress", "base", "slower")
    assert (done.returncode, "FAIL" in done.stdout) == (1, True), done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    noisy = ["--max-loss", "client.response_us.p99=0%"]  # no interval of a p99 is that narrow
    done = labrun("regress", "base", "again", *noisy)
    assert (done.returncode, "INCONCLUSIVE" in done.stdout) == (0, True), done.stderr
    assert labrun("regress", "base", "again", *noisy, "--strict").returncode == 1
