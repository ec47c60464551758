"""A commit against the working tree, in a repository that knows nothing of this project."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import any_server
from tests.support.changed_runs import assert_one_sentence
from tests.support.checkouts import git
from tests.support.labrun import Labrun

SHORT = (
    "--rps", "60", "--duration", "0.5", "--warmup", "0.1", "--rounds", "1", "--design", "trials",
)  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A repository with a program that has to be built, and a commit before the last."""
    root = tmp_path / "program"
    root.mkdir()
    shutil.copy(any_server.__file__, root / "source.py")
    (root / ".gitignore").write_text("built.py\n__pycache__/\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "old")
    return root


def regress(labrun: Labrun, program: Path, *more: str) -> Any:
    command = f"app={sys.executable} built.py good {{port}}"
    return labrun("regress", "--against-ref", "HEAD", "--server", command, *SHORT, *more,
                  cwd=program)  # fmt: skip


def record(program: Path) -> dict[str, Any]:
    (file,) = (program / "results").glob("*/run.json")
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def test_both_trees_are_built_and_each_runs_its_own(labrun: Labrun, program: Path) -> None:
    source = program / "source.py"
    source.write_text(source.read_text().replace('"accepted": 1', '"accepted": 1, "new": true'))
    done = regress(labrun, program, "--build", "cp source.py built.py")
    assert done.returncode in (0, 1), done.stderr
    run = record(program)
    assert run["complete"], done.stderr
    assert [entry["dirty"] for entry in run["sources"]] == [False, True]
    assert run["settings"]["backends"] == ["app", "app"]
    for trial in run["trials"]:
        assert trial["server"]["instrument"] == "outside"
        assert trial["client"]["outcomes"]["ok"] > 0
    assert "overhead" not in done.stdout  # which nobody sees from outside
    assert (program / "built.py").read_text() == source.read_text()
    assert git(program, "worktree", "list").count("\n") == 0


def test_a_new_tree_that_cannot_be_built_fails_the_check(labrun: Labrun, program: Path) -> None:
    (program / "source.py").unlink()
    done = regress(labrun, program, "--build", "cp source.py built.py")
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    assert "cp source.py built.py" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--build", "no-such-tool"], ["--build 'no-such-tool'", "cannot be run"]),
        (["--build", "false"], ["--build 'false'", "exit status 1"]),
        (["--backends", "thread-pool"], ["--server and --backends"]),
        (["--url", "live=http://127.0.0.1:9"], ["--url live is of no commit"]),
        (["--cwd", "/"], ["--cwd / is not within"]),
    ],
)
def test_what_cannot_be_is_one_sentence(
    labrun: Labrun, program: Path, more: list[str], words: list[str]
) -> None:
    done = regress(labrun, program, *more)
    assert done.returncode == 2
    told = done.stderr.strip().splitlines()
    assert len(told) == 1, done.stderr
    assert all(word in told[0] for word in words), done.stderr


def test_our_backends_are_not_looked_for_elsewhere(labrun: Labrun, program: Path) -> None:
    done = labrun("regress", "--against-ref", "HEAD", cwd=program)
    assert_one_sentence(done, "has no package servers", "--backends module:Class", "--server")
    done = labrun("regress", "--server", "a=b {port}", "--build", "make", cwd=program)
    assert_one_sentence(done, "--against-ref GITREF")


PLUGIN = """
from servers.thread_pool import ThreadPoolBackend


class Mine(ThreadPoolBackend):
    name = "mine"
"""


def test_a_plugin_is_measured_against_its_own_past(labrun: Labrun, program: Path) -> None:
    (program / "mine.py").write_text(PLUGIN)
    git(program, "add", ".")
    git(program, "commit", "--quiet", "-m", "plugin")
    (program / "mine.py").write_text(PLUGIN + "\n# changed\n")
    done = labrun(
        "regress", "--against-ref", "HEAD", "--backends", "mine:Mine", *SHORT, cwd=program
    )
    assert done.returncode in (0, 1), done.stderr
    run = record(program)
    assert run["complete"], done.stderr
    assert run["settings"]["backends"] == ["mine:Mine", "mine:Mine"]
    assert [entry["dirty"] for entry in run["sources"]] == [False, True]
