"""`labrun init` writes what the other commands then read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from harness.core.record import ServerSettings
from harness.session.servers import servers_of
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun


def test_both_files_are_there_and_say_what_was_asked_for(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("init", "--server", "app=./app 'a \"b' --port {port}", "--build", "make all")
    assert done.returncode == 0, done.stderr
    assert servers_of(tmp_path / "labrun.toml") == [
        ServerSettings(name="app", command=["./app", 'a "b', "--port", "{port}"])
    ]
    file = tmp_path / ".github" / "workflows" / "labrun.yml"
    steps = yaml.safe_load(file.read_text())["jobs"]["regress"]["steps"]
    assert steps[-1]["run"].endswith("--server app --build 'make all'")
    actionlint = shutil.which("actionlint")
    if actionlint is not None:
        subprocess.run([actionlint, str(file)], check=True)


def test_what_is_there_is_not_written_over(labrun: Labrun, tmp_path: Path) -> None:
    (tmp_path / "labrun.toml").write_text("mine")
    assert_one_sentence(labrun("init"), "labrun.toml is there already")
    assert (tmp_path / "labrun.toml").read_text() == "mine"
    assert not (tmp_path / ".github").exists()


def test_what_is_no_command_is_refused(labrun: Labrun) -> None:
    assert_one_sentence(labrun("init", "--server", "app"), "no name and command")
    assert_one_sentence(labrun("init", "--build", " "), "--build")
