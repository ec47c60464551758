"""Fixtures of the checks: the lab's own reference run, and the command."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.checkouts import make_checkout
from tests.support.labrun import Labrun, run_lab

ROOT = Path(__file__).parents[4]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two commits. What a run leaves behind would be in a folder of its own, where
    no other test's is."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    return make_checkout(tmp_path / "checkout")


@pytest.fixture
def labrun(tmp_path: Path) -> Labrun:
    """Run `labrun` with these arguments, in an empty folder if no other is named."""
    return partial(run_lab, tmp_path)
