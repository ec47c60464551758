"""Fixtures of the checks: the lab's own reference run, and the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.record import Run
from tests.support.reference import reference_level

ROOT = Path(__file__).parents[2]
Labrun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def reference() -> Run:
    """A real run of both backends, five rounds at one level."""
    return reference_level()


@pytest.fixture
def labrun(tmp_path: Path) -> Labrun:
    """Run `labrun` with these arguments, in an empty folder if no other is named."""

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "harness.cli", *arguments],
            cwd=tmp_path if cwd is None else cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
