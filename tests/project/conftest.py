"""What tests of the pages need."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.labrun import Labrun, run_lab


@pytest.fixture
def labrun(tmp_path: Path) -> Labrun:
    """Run `labrun` with these arguments, in an empty folder if no other is named."""
    return partial(run_lab, tmp_path)
