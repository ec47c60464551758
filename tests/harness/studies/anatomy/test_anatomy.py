"""`labrun anatomy`: the life of a request, measured on real servers and read back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from harness.machine.costs import measure_native_costs
from harness.machine.cpus import plan_cpus
from harness.reading.runs import load_run
from harness.studies.anatomy.account import (
    WORK,
    Anatomy,
    Apart,
    Spread,
    anatomy_finding,
    dissect,
    notes,
)
from harness.studies.anatomy.section import anatomy_section
from harness.views.formats import block_text
from tests.support.claim_trials import POOL, THREAD, make_run, make_trial
from tests.support.labrun import Labrun, assert_measured, run_lab_apart
from tests.support.serving import needs_compiler

SHORT = ("--rps", "200", "--rounds", "1", "--duration", "0.5")
STEPS = {
    "thread-per-request": ["dispatch", *WORK, "thread end"],
    "thread-pool": ["dispatch", *WORK, "return to the queue"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run's folder and output. It measures threads of its own, so it has a process of its own."""
    out = tmp_path_factory.mktemp("anatomy")
    done = run_lab_apart(out, "anatomy", *SHORT, "--out", str(out))
    assert_measured(done.returncode, done.stderr)
    (folder,) = out.iterdir()
    return folder, done.stdout


def saved(folder: Path) -> Anatomy:
    return msgspec.json.decode((folder / "anatomy.json").read_bytes(), type=Anatomy)


def test_every_step_of_both_backends_has_the_documents_figure_beside_it(
    made: tuple[Path, str],
) -> None:
    anatomy = saved(made[0])
    assert {life.backend: [s.name for s in life.steps] for life in anatomy.lives} == STEPS
    by_name = {life.backend: life for life in anatomy.lives}
    assert by_name["thread-per-request"].document_us == 834
    assert by_name["thread-pool"].document_us == 45
    for life in anatomy.lives:
        assert all(step.document_us is not None for step in life.steps)
        assert sum(s.document_us or 0 for s in life.steps if s.kind == "work") == 34


def test_steps_beside_the_documents_say_in_which_language_they_were_measured(
    made: tuple[Path, str],
) -> None:
    """The document's steps are those of C++, ours those of Python (point 21)."""
    folder, shown = made
    for text in (shown, (folder / "report.md").read_text("utf-8")):
        told = " ".join(text.split())
        assert "the GIL; the document's figures are for C++." in told
        assert "Measured in CPython 3." in told


def test_what_no_stamp_can_tell_is_measured_apart(made: tuple[Path, str]) -> None:
    for life in saved(made[0]).lives:
        last = life.steps[-1]
        assert last.kind == "after"
        assert last.p50_us is not None
        assert last.p99_us is not None
        assert 0 < last.p50_us <= last.p99_us


def test_the_whole_is_the_sum_of_what_is_known(made: tuple[Path, str]) -> None:
    folder, _ = made
    valid = {t.slot for t in load_run(folder).trials if t.valid}
    for life in saved(folder).lives:
        known = [step.p50_us for step in life.steps if step.p50_us is not None]
        assert life.typical_us == pytest.approx(sum(known))
        if life.slot in valid:
            assert life.useful_us is not None
            assert life.typical_us is not None
            assert life.useful_share == pytest.approx(life.useful_us / life.typical_us)
            assert len(known) == len(life.steps)


def test_the_terminal_shows_both_lives_in_80_columns_and_says_how(made: tuple[Path, str]) -> None:
    folder, out = made
    lines = [line for line in out.splitlines() if folder.name not in line]
    assert max(map(len, lines)) <= 80
    said = " ".join(out.split())
    for words in (
        "thread-per-request: one request at 200 RPS",
        "rate limit",
        "decode JSON",
        "thread end",
        "return to the queue",
        "834 µs",
        "until the kernel no longer",
    ):
        assert words in said  # fmt: skip


def test_the_folder_has_the_chart_and_the_report_shows_it(made: tuple[Path, str]) -> None:
    folder, _ = made
    assert (folder / "charts/anatomy.png").stat().st_size > 10_000
    assert "thread end" in (folder / "charts/anatomy.svg").read_text()
    page = (folder / "report.html").read_text()
    assert 'id="anatomy"' in page
    assert "Thread end is measured apart" in page
    assert "Thread end is measured apart" in (folder / "report.md").read_text()


def test_a_run_that_is_there_is_read_and_nothing_is_measured(
    made: tuple[Path, str], labrun: Labrun
) -> None:
    folder, _ = made
    before = sorted(folder.parent.iterdir())
    done = labrun("anatomy", str(folder), "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "anatomy.json").read_bytes())
    assert sorted(folder.parent.iterdir()) == before


def test_a_run_of_a_comparison_has_the_stamps_alone(made: tuple[Path, str]) -> None:
    run = load_run(made[0])
    anatomy = dissect(run, 200.0)
    for life in anatomy.lives:
        assert life.steps[-1].p50_us is None
    if any(life.useful_share is not None for life in anatomy.lives):
        assert "not counted" in anatomy_finding(anatomy, run.settings)
    said = " ".join(notes(anatomy))
    assert "Thread end is not measured: the run was not made by labrun anatomy" in said
    assert "return to the queue is not measured" in said


def test_without_a_valid_trial_it_says_that_nothing_is_known(made: tuple[Path, str]) -> None:
    run = load_run(made[0])
    trials = [msgspec.structs.replace(trial, valid=False) for trial in run.trials]
    run = msgspec.structs.replace(run, trials=trials)
    apart = Apart(returning=Spread(p50_us=1.0, ci_low_us=None, ci_high_us=None, p99_us=2.0))
    anatomy = dissect(run, 200.0, apart)
    assert "nothing can be said" in anatomy_finding(anatomy, run.settings)
    assert all(life.useful_share is None for life in anatomy.lives)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rps", "0"), "--rps"),
        (("--rps", "200,500"), "an anatomy is of one rate"),
        (("--backends", "thread-pol"), "thread-pool"),
        (("nowhere",), "there is no such folder"),
        (("nowhere", "--rounds", "2"), "would need a new run"),
        (("--json", "nowhere/anatomy.json"), "--json"),
    ],
)
def test_bad_input_is_one_sentence(labrun: Labrun, arguments: tuple[str, ...], words: str) -> None:
    done = labrun("anatomy", *arguments)
    said(done, words)


def said(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_level_that_the_run_has_not_is_named_with_those_it_has(
    made: tuple[Path, str], labrun: Labrun
) -> None:
    said(labrun("anatomy", str(made[0]), "--rps", "2000"), "name one of these")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema": 1}'])
def test_a_damaged_record_is_one_sentence(
    made: tuple[Path, str], labrun: Labrun, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "run.json").write_bytes((made[0] / "run.json").read_bytes())
    (tmp_path / "anatomy.json").write_bytes(content)
    said(labrun("anatomy", str(tmp_path)), "no whole record")


def test_a_record_of_another_version_is_one_sentence(
    made: tuple[Path, str], labrun: Labrun, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_bytes((made[0] / "run.json").read_bytes())
    (tmp_path / "anatomy.json").write_bytes(b'{"schema": 99}')
    said(labrun("anatomy", str(tmp_path)), "has schema 99")


@needs_compiler
def test_a_run_in_both_languages_shows_both_beside_the_document() -> None:
    native = [f"native-{THREAD}", f"native-{POOL}"]
    backends = [THREAD, POOL, *native]
    trials = [
        make_trial(backend=name, slot=slot, number=number, steps_us=40.0 if slot < 2 else 10.0)
        for number in range(1, 7)
        for slot, name in enumerate(backends)
    ]
    run = make_run(trials, backends=backends)
    costs = measure_native_costs(512 << 10, False, plan_cpus().server, 16).thread_costs
    anatomy = dissect(run, 2000.0, Apart(native_thread_costs=costs))
    lives = {life.backend: life for life in anatomy.lives}
    for name in backends:
        plain = name.removeprefix("native-")
        assert [step.name for step in lives[name].steps] == STEPS[plain]
        assert lives[name].document_us == lives[plain].document_us
        assert lives[name].useful_us == pytest.approx(7 * (10.0 if name in native else 40.0))
    assert lives[native[0]].steps[-1].p50_us == costs.end_us.median
    assert lives[THREAD].steps[-1].p50_us is None
    assert any("In C++ creating a thread takes" in note for note in notes(anatomy))
    section = anatomy_section(run, anatomy)
    words = " ".join(block_text(block) for block in section.blocks)
    assert "those of native-thread-per-request and native-thread-pool in C++" in words
    assert all(name in words for name in backends)
