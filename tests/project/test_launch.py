"""Machines that others make for whoever has no Linux: their descriptions hold what is needed.
The services themselves are not asked."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_what_binder_runs_is_a_program(name: str) -> None:
    assert os.access(BINDER / name, os.X_OK)
    subprocess.run(["bash", "-n", BINDER / name], check=True)


def test_binder_starts_the_course_offline() -> None:
    done = subprocess.run(
        [BINDER / "start", "bash", "-c", "echo $LAB_OFFLINE"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "1\n"


def test_binder_installs_what_was_tested_together() -> None:
    assert "-c constraints.txt ." in (BINDER / "postBuild").read_text("utf-8")


def test_the_dev_container_is_made_by_a_make_target_and_offline() -> None:
    described = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert described["postCreateCommand"] == "make .venv/.lab"
    assert described["remoteEnv"]["LAB_OFFLINE"] == "1"


def test_both_have_a_python_that_the_lab_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    described = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert described["image"].startswith(f"python:{oldest}")
    assert (BINDER / "runtime.txt").read_text("utf-8") == f"python-{oldest}\n"
