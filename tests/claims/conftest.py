"""One real, short run for all tests of claims."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.store import load_run

Labrun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def labrun() -> Labrun:
    """Run `labrun` with these arguments."""

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "harness.cli", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def real_run(labrun: Labrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real, short run: two levels, one round."""
    out = tmp_path_factory.mktemp("claims")
    options = ["--rps", "200,400", "--rounds", "1", "--duration", "0.5", "--warmup", "0.2"]
    done = labrun("compare", *options, "--out", str(out))
    assert done.returncode == 0, done.stderr
    (folder,) = out.iterdir()
    assert load_run(folder).complete
    return folder
