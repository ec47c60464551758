"""`labrun init` writes what the other commands then read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.commands.init import WORKFLOW, requirement_of
from harness.core.errors import LabError
from harness.core.record import ServerSettings
from harness.session.servers import servers_of
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun

GIT = "git+https://code.example/lab"


def test_both_files_are_there_and_say_what_was_asked_for(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("init", "--server", "app=./app 'a \"b' --port {port}", "--build", "make all",
                  "--lab", GIT)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert servers_of(tmp_path / "labrun.toml") == [
        ServerSettings(name="app", command=["./app", 'a "b', "--port", "{port}"])
    ]
    file = tmp_path / ".github" / "workflows" / "labrun.yml"
    steps = yaml.safe_load(file.read_text())["jobs"]["regress"]["steps"]
    assert steps[-1]["run"].endswith("--server app --build 'make all'")
    assert steps[-2]["run"] == f"pip install 'metricstream-lab @ {GIT}'"
    actionlint = Path(sys.executable).parent / "actionlint"
    said = subprocess.run(
        [actionlint, "-no-color", str(file)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_what_is_there_is_not_written_over(labrun: Labrun, tmp_path: Path) -> None:
    (tmp_path / "labrun.toml").write_text("mine")
    assert_one_sentence(labrun("init"), "labrun.toml is there already")
    assert (tmp_path / "labrun.toml").read_text() == "mine"
    assert not (tmp_path / ".github").exists()


def test_the_workflow_installs_what_this_lab_came_from() -> None:
    assert requirement_of(None, "0.2.0") == "metricstream-lab==0.2.0"
    wheel = '{"url": "https://code.example/lab.whl", "archive_info": {"hash": "sha256=0"}}'
    assert requirement_of(wheel, "0") == "metricstream-lab @ https://code.example/lab.whl"
    git = (
        '{"url": "https://code.example/lab", "vcs_info": '
        '{"vcs": "git", "commit_id": "0a1b", "requested_revision": "main"}}'
    )
    assert requirement_of(git, "0") == "metricstream-lab @ git+https://code.example/lab@0a1b"
    with pytest.raises(LabError, match=r"file:///a/lab\.whl, which is on this machine alone"):
        requirement_of('{"url": "file:///a/lab.whl", "archive_info": {}}', "0")


def test_a_wheel_of_the_repository_is_installed_by_its_path(labrun: Labrun, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "lab.whl").touch()
    assert labrun("init", "--lab", "tools/lab.whl").returncode == 0
    assert "pip install tools/lab.whl" in (tmp_path / WORKFLOW).read_text()


@pytest.mark.parametrize(
    ("lab", "words"),
    [
        ("/elsewhere/lab.whl", "no such wheel in this repository"),
        ("none.whl", "no such wheel in this repository"),
        ("my lab", "'my lab' is nothing that pip could install"),
    ],
)
def test_what_the_workflow_could_not_install_is_refused(
    labrun: Labrun, tmp_path: Path, lab: str, words: str
) -> None:
    assert_one_sentence(labrun("init", "--lab", lab), words)
    assert not (tmp_path / "labrun.toml").exists()


def test_what_is_no_command_is_refused(labrun: Labrun) -> None:
    assert_one_sentence(labrun("init", "--server", "app"), "no name and command")
    assert_one_sentence(labrun("init", "--build", " "), "--build")
