"""One real, short run for all tests of claims."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from harness.reading.runs import load_run
from tests.support.labrun import Labrun, assert_measured, run_lab


@pytest.fixture(scope="session")
def labrun() -> Labrun:
    """Run `labrun` with these arguments, here if no other folder is named."""
    return partial(run_lab, Path.cwd())


@pytest.fixture(scope="session")
def real_run(labrun: Labrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real, short run: two levels, one round."""
    out = tmp_path_factory.mktemp("claims")
    options = ["--rps", "200,400", "--rounds", "1", "--duration", "0.5", "--warmup", "0.2"]
    done = labrun("compare", *options, "--bare", "--out", str(out))
    assert_measured(done.returncode, done.stderr)
    (folder,) = out.iterdir()
    assert load_run(folder).complete
    return folder
