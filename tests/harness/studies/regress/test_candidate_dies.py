"""A candidate that dies fails, in every format; a run that is partial for any reason never passes.

Point 3 of the issue "No figure that flatters, no test that fails by chance": `labrun regress` said
PASS, exit 0, of a run whose new server died. Here servers really die, and really refuse to start.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from junitparser import JUnitXml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.core.record import Run
from harness.reading.runs import load_run
from harness.studies.regress.exports import FORMATS
from harness.studies.regress.thresholds import DEFAULT_MAX_LOSS, parse_thresholds
from harness.studies.regress.verdict import judge_interleaved, judge_runs
from tests.support.changed_runs import assert_one_sentence, changed, saved, side_by_side
from tests.support.checkouts import SHORT, git
from tests.support.labrun import Labrun

CPU = "server.cpu_us_per_request.total"
ONLY_CPU = [f"{path}=off" for path in DEFAULT_MAX_LOSS if path != CPU]
LAX = parse_thresholds([*ONLY_CPU, f"{CPU}=900%"], [])
# Put into the servers of a tree. The second request after the warm-up's is the last.
DIES = """

import os, signal
_whole, _seen = decode, []

def decode(body):
    _seen.append(1)
    if len(_seen) > 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return _whole(body)
"""
EXITS = """
import sys
if "--help" not in sys.argv:
    sys.exit("no luck today")
"""
EXITS_IN_TRIALS = """
import sys
if any(word.startswith("--workload") for word in sys.argv):
    sys.exit("no luck in trials")
"""
FUTURE = "from __future__ import annotations\n"
Check = Callable[..., "subprocess.CompletedProcess[str]"]


def spoil(tree: Path, module: str, text: str) -> None:
    """Add code to a module of the servers: at its end, or first if it is the one that is run."""
    file = tree / "servers" / module
    whole = file.read_text()
    first = module == "__main__.py"
    file.write_text(whole.replace(FUTURE, FUTURE + text, 1) if first else whole + text)


@pytest.fixture
def check(repository: Path, labrun: Labrun, tmp_path: Path) -> Check:
    """`labrun regress --against-ref HEAD`, run in the tree as it is."""
    asked = ("regress", "--against-ref", "HEAD", *SHORT, "2", "--out", str(tmp_path / "out"))
    return lambda *options: labrun(*asked, *options, cwd=repository)


def made(tmp_path: Path) -> Path:
    """The folder of the only run."""
    (folder,) = (tmp_path / "out").iterdir()
    return folder


def assert_every_format_says(labrun: Labrun, folder: Path, outcome: str, reason: str) -> None:
    """The verdict again, from the folder, read by parsers that are not ours."""
    told = {}
    for form in ("table", *FORMATS):
        for strict in ([], ["--strict"]):
            done = labrun("regress", str(folder), "--format", form, *strict)
            assert (done.returncode, "Traceback" in done.stderr) == (1, False), form
        told[form] = done.stdout
    for form, text in told.items():
        assert reason in " ".join(text.split()), form
    for form in ("table", "markdown"):
        assert f"{outcome.upper()}: " in told[form]
    (suite,) = JUnitXml.fromstring(told["junit"].encode())
    (whole,) = [case for case in suite if case.name == "complete"]
    kind = {"fail": "server-died", "inconclusive": "partial"}[outcome]
    assert [found.type for found in whole.result] == [kind]
    assert (suite.failures, suite.errors) == ((1, 0) if outcome == "fail" else (0, 1))
    rows = list(csv.DictReader(io.StringIO(told["csv"])))
    found = [(r["value"], r["outcome"]) for r in rows if r["metric"] == "run.complete"]
    assert found == [("0.0", outcome)]
    assert _entries(told["benchmark-action-bigger"])["run.complete"] == 0
    assert _entries(told["benchmark-action"])["run.partial"] == 1
    read: Any = text_string_to_metric_families  # it has no annotations
    families = list(read(told["openmetrics"]))
    (sample,) = [s for f in families if f.name.endswith("run_complete") for s in f.samples]
    assert (sample.value, sample.labels["outcome"]) == (0, outcome)


def _entries(text: str) -> dict[str, float]:
    return {entry["name"]: entry["value"] for entry in json.loads(text)}


def test_a_candidate_whose_server_dies_under_load_fails(
    repository: Path, check: Check, labrun: Labrun, tmp_path: Path
) -> None:
    spoil(repository, "metric.py", DIES)
    done = check()
    assert (done.returncode, "FAIL: working tree" in done.stdout) == (1, True), done.stderr
    folder = made(tmp_path)
    run = load_run(folder)
    assert (run.complete, run.trials[-1].slot, run.trials[-1].died) == (False, 1, "server")
    assert "died (SIGKILL)" in str(run.finding)
    assert "FAIL" in (folder / "regress.md").read_text()
    assert (folder / "charts" / "regress.png").exists()
    assert_every_format_says(labrun, folder, "fail", "died (SIGKILL)")


@pytest.mark.parametrize("text", [EXITS, EXITS_IN_TRIALS], ids=["at once", "in its first trial"])
def test_a_candidate_whose_server_does_not_start_fails(
    repository: Path, check: Check, labrun: Labrun, tmp_path: Path, text: str
) -> None:
    spoil(repository, "__main__.py", text)
    done = check("--strict", "--format", "junit")
    assert (done.returncode, 'type="server-died"' in done.stdout) == (1, True), done.stderr
    run = load_run(made(tmp_path))
    assert (run.complete, run.refused) == (False, 1)
    assert run.trials == []  # of a restart all servers start, or none is measured
    assert_every_format_says(labrun, made(tmp_path), "fail", "no luck")
    assert "Traceback" not in labrun("report", str(made(tmp_path))).stderr


def test_an_old_server_that_dies_is_no_pass_and_no_accusation(
    repository: Path, check: Check, labrun: Labrun, tmp_path: Path
) -> None:
    module = repository / "servers" / "metric.py"
    whole = module.read_text()
    spoil(repository, "metric.py", DIES)
    git(repository, "commit", "--quiet", "-am", "dies")
    module.write_text(whole)
    done = check()
    assert (done.returncode, "INCONCLUSIVE" in done.stdout) == (1, True), done.stderr
    assert [t.slot for t in load_run(made(tmp_path)).trials if t.died == "server"] == [0]
    assert_every_format_says(labrun, made(tmp_path), "inconclusive", "died (SIGKILL)")


def test_an_old_server_that_does_not_start_is_one_sentence(repository: Path, check: Check) -> None:
    module = repository / "servers" / "__main__.py"
    whole = module.read_text()
    spoil(repository, "__main__.py", EXITS_IN_TRIALS)
    git(repository, "commit", "--quiet", "-am", "refuses")
    module.write_text(whole)
    done = check()
    assert (done.returncode, done.stdout) == (2, "")
    assert "no luck in trials" in done.stderr.splitlines()[-1]


def ended(run: Run, reason: str, died: str | None, slot: int = 1) -> Run:
    """The run, ended by its last trial, which is of that slot."""
    kept = [t for t in run.trials if t.slot == slot][-1]
    others = [t for t in run.trials if t is not kept]
    limited = "server-saturated" if "server" in reason else "generator-limited"
    last = msgspec.structs.replace(
        kept, valid=False, invalid_reason=reason, died=died, class_=limited
    )
    return msgspec.structs.replace(
        run, trials=[*others, last], complete=False,
        incomplete_reason=f"trial 10 of 12 failed: {reason}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("died", "slot", "outcome"),
    [("server", 1, "fail"), ("server", 0, "inconclusive"), ("generator", 1, "inconclusive")],
)
def test_whose_end_it_was_decides(reference: Run, died: str, slot: int, outcome: str) -> None:
    whole = side_by_side(reference, 1.0)
    assert judge_interleaved(whole, LAX).outcome == "pass"
    verdict = judge_interleaved(ended(whole, f"the {died} died (SIGKILL)", died, slot), LAX)
    assert verdict.outcome == outcome
    old = judge_interleaved(ended(whole, f"the {died} died (SIGKILL)", None, slot), LAX)
    assert old.outcome == outcome  # a record that does not say who died


def test_an_interrupted_run_does_not_pass(reference: Run, labrun: Labrun, tmp_path: Path) -> None:
    cut = msgspec.structs.replace(
        side_by_side(reference, 1.0), complete=False, incomplete_reason="interrupted in trial 11"
    )
    saved(cut, tmp_path / "cut")
    done = labrun("regress", "cut", "--max-loss", f"{CPU}=900%")
    assert done.returncode == 1
    assert "INCONCLUSIVE" in done.stdout
    assert "interrupted in trial 11" in done.stdout


def test_a_run_in_which_nothing_could_be_compared_does_not_pass(
    reference: Run, labrun: Labrun, tmp_path: Path
) -> None:
    run = side_by_side(reference, 1.0)
    trials = [
        msgspec.structs.replace(
            t, valid=False, class_="generator-limited", invalid_reason="the generator was late"
        )
        for t in run.trials
    ]
    saved(msgspec.structs.replace(run, trials=trials), tmp_path / "late")
    done = labrun("regress", "late")
    assert done.returncode == 1
    assert "nothing could be compared" in done.stdout
    assert "10 of 10 trials are not compared" in done.stdout


def test_of_two_runs_the_candidate_that_died_fails_and_another_partial_one_is_refused(
    reference: Run, labrun: Labrun, tmp_path: Path
) -> None:
    died = changed(ended(reference, "the server died (SIGSEGV)", "server"), "died")
    verdict = judge_runs(reference, died, LAX)
    assert (verdict.outcome, verdict.cut and verdict.cut.side) == ("fail", "candidate")
    saved(reference, tmp_path / "base")
    saved(died, tmp_path / "died")
    done = labrun("regress", "base", "died", "--format", "junit")
    assert (done.returncode, "SIGSEGV" in done.stdout) == (1, True)
    late = changed(ended(reference, "the generator died (SIGKILL)", "generator"), "late")
    saved(late, tmp_path / "late")
    assert_one_sentence(labrun("regress", "base", "late"), "partial", "generator died")
    assert_one_sentence(labrun("regress", "died", "base"), "partial", "SIGSEGV")


def test_a_candidate_that_is_measured_now_and_does_not_start_fails(
    reference: Run, labrun: Labrun, tmp_path: Path
) -> None:
    # The backend was measured once and is not there any more.
    names = ["gone:Backend", "thread-pool"]
    base = changed(reference, "base", backends=names, duration_s=0.5, warmup_s=0.1)
    saved(base, tmp_path / "base")
    done = labrun("regress", "base", "--out", "out", "--format", "junit")
    assert (done.returncode, 'type="server-died"' in done.stdout) == (1, True), done.stderr
    assert load_run(made(tmp_path)).refused == 0
