"""What every test needs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Benchmarks are in no wheel. Last on the path, their folder hides no installed package.
sys.path.append(str(Path(__file__).parents[1]))

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
# Tests press Ctrl-C on real processes, which must be able to notice.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers of one suite measure side by side and expect it: what one says is not about the others.
os.environ["LAB_NEIGHBOURHOOD"] = f"-tests-{os.getpid()}"

# No example is judged by how long it took, and each run tries the same ones: a machine that stands
# still for a moment fails no test, and one that fails does so again.
settings.register_profile(
    "lab", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lab")

# Half a minute and more each, so no worker may be left with one of them at the end.
LONGEST = (
    "test_distant.py", "test_locust.py", "test_puzzles.py", "test_pool_examiner.py",
    "test_queue_examiner.py", "test_compare.py", "test_notebooks.py", "test_browser.py",
    "test_live.py", "test_site.py", "test_outside.py", "test_drain.py", "test_against_ref.py",
    "test_capacity.py", "test_charts.py", "test_anatomy.py", "test_crossover.py",
    "test_command.py", "test_report.py", "test_deadlines.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest come first; the order within a file stays."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests of a file."""
    from tests.support.chromium import headless  # only files that look at pages need it

    with headless() as found:
        yield found
