"""What tests of the gallery need."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.labrun import Labrun, run_lab


@pytest.fixture
def labrun(tmp_path: Path) -> Labrun:
    """Run `labrun` in an empty folder."""
    return partial(run_lab, tmp_path)
