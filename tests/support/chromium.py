"""The system's Chromium, for tests that look at pages."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import Browser, Playwright

PATIENCE_MS = 120_000  # a browser on a busy machine is slow, not wrong
_NAMES = ("chromium", "chromium-browser", "google-chrome")
REQUIRED = "LAB_REQUIRE_BROWSER"


def chromium() -> str:
    """Its path. Where there is none the test is skipped; where the environment says
    LAB_REQUIRE_BROWSER=1, as .ci/run does once it has found one, it fails."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    reason = "no Chromium on this machine: apt-get install chromium"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1: no page may go unseen)")
    pytest.skip(reason)


def launch(playwright: Playwright) -> Browser:
    """A headless one, to be closed."""
    # As root, as in a container, Chromium starts only without its sandbox.
    return playwright.chromium.launch(
        executable_path=chromium(), args=["--no-sandbox"], timeout=PATIENCE_MS
    )
