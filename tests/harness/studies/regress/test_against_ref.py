"""Old and new code side by side, on a real repository with two commits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import LabError
from harness.reading.runs import load_run
from harness.targets.server_code import ServerSource, differing, prepare
from tests.support.changed_runs import assert_one_sentence
from tests.support.checkouts import SHORT, git
from tests.support.labrun import Labrun


def left_over() -> set[Path]:
    return set(Path(os.environ["TMPDIR"]).iterdir())


def test_both_trees_are_measured_alternately_and_the_worktree_goes(
    repository: Path, labrun: Labrun, tmp_path: Path
) -> None:
    # The old tree's servers answer 500 to everything: what is measured is really that tree.
    handler = repository / "servers" / "metric.py"
    good = handler.read_text()
    handler.write_text(good + "\n\ndef decode(_: object) -> None:\n    raise ZeroDivisionError\n")
    git(repository, "commit", "--quiet", "-am", "broken")
    handler.write_text(good)
    asked = ("regress", "--against-ref", "HEAD", *SHORT, "2", "--out", str(tmp_path / "out"))
    done = labrun(*asked, cwd=repository)
    # On a busy machine the generator is the limit in every trial; then nothing was compared.
    assert done.returncode in (0, 1), done.stderr
    run = load_run(next((tmp_path / "out").iterdir()))
    assert run.complete, done.stderr
    assert "FAIL" not in done.stdout
    assert [source.slot for source in run.sources] == [0, 1]
    assert {source.commit for source in run.sources} == {git(repository, "rev-parse", "HEAD")}
    assert [source.dirty for source in run.sources] == [False, True]  # changes are said
    assert "and changes" in done.stderr
    statuses = {slot: set[str]() for slot in (0, 1)}
    for trial in run.trials:
        assert trial.server is not None
        statuses[trial.slot] |= set(trial.server.account.answered_by_status)
    assert statuses == {0: {"500"}, 1: {"202"}}
    orders = [(t.round, t.slot) for t in sorted(run.trials, key=lambda t: (t.round, t.order))]
    assert orders == [(1, 0), (1, 1), (2, 1), (2, 0)]
    assert git(repository, "worktree", "list").count("\n") == 0
    assert left_over() == set()
    again = labrun("regress", str(tmp_path / "out" / run.id), "--format", "junit")
    assert again.returncode == done.returncode, again.stderr
    assert "<testsuite" in again.stdout


def test_ctrl_c_leaves_neither_worktree_nor_process(repository: Path, tmp_path: Path) -> None:
    arguments = [*SHORT, "50", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness.cli", "regress", "--against-ref", "HEAD~1",
         *arguments],
        cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("trial 1/100")  # the first has ended
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    run = load_run(next((tmp_path / "out").iterdir()))
    assert not run.complete
    assert len(run.sources) == 2
    assert git(repository, "worktree", "list").count("\n") == 0
    assert left_over() == set()
    pids = {trial.server.pid for trial in run.trials if trial.server and trial.server.pid}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_bad_refs_and_places(repository: Path, labrun: Labrun, tmp_path: Path) -> None:
    asked = ("regress", "--against-ref")
    assert_one_sentence(labrun(*asked, "nosuch", cwd=repository), "no commit 'nosuch'")
    assert_one_sentence(labrun(*asked, "--help-me", cwd=repository), "no commit '--help-me'")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert_one_sentence(labrun(*asked, "HEAD", cwd=elsewhere), "in no git checkout")
    assert_one_sentence(labrun("regress", "x", "--against-ref", "HEAD", cwd=repository), "beside")
    shutil.rmtree(repository / "servers")
    git(repository, "commit", "--quiet", "-am", "no servers")
    assert_one_sentence(labrun(*asked, "HEAD~1", cwd=repository), "no package servers")


def test_an_old_server_that_cannot_be_driven_is_one_sentence(
    repository: Path, labrun: Labrun
) -> None:
    (repository / "servers" / "__main__.py").rename(repository / "servers" / "start.py")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "older")
    git(repository, "revert", "--no-edit", "HEAD")
    done = labrun("regress", "--against-ref", "HEAD~1", cwd=repository)
    assert_one_sentence(done, "cannot be run", "later ref")


def test_options_that_an_old_server_lacks(repository: Path) -> None:
    source = prepare(ServerSource("here", repository), repository)
    assert "--workload" in source.options
    lacking = ServerSource(
        "old", repository, options=source.options - {"--workload", "--queue-size"}
    )
    kept = lacking.accepted(["thread-pool", "--workload=ingest", "--workers=16"])
    assert kept == ["thread-pool", "--workers=16"]
    with pytest.raises(LabError, match="old has no --queue-size"):
        lacking.accepted(["thread-pool", "--queue-size=5"])


def test_a_tree_from_before_the_list_of_options_is_asked_by_its_help(repository: Path) -> None:
    listed = prepare(ServerSource("here", repository), repository)
    options = repository / "servers" / "options.py"
    options.write_text(options.read_text().replace('"--options"', '"--since-then"'))
    helped = prepare(ServerSource("old", repository), repository)
    assert listed.options - helped.options == {"--supervised"}  # which no help names
    assert {"--workers", "--port", "--since-then"} <= helped.options


def test_only_what_the_servers_import_can_call_for_an_installation(repository: Path) -> None:
    project = repository / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["msgspec>=0.1", "pandas>=999"]\n')
    assert differing(repository) == []  # pandas is not the servers'
    project.write_text('[project]\ndependencies = ["msgspec>=999"]\n')
    assert differing(repository) == ["msgspec>=999"]
    (repository / "constraints.txt").write_text("msgspec==0.0.1  # long ago\n")
    assert differing(repository) == ["msgspec==0.0.1"]
    assert os.listdir(repository).count("venv") == 0
