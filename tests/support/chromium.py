"""The system's Chromium, for tests that look at pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

PATIENCE_MS = 120_000  # a browser on a busy machine is slow, not wrong
_NAMES = ("chromium", "chromium-browser", "google-chrome")
REQUIRED = "LAB_REQUIRE_BROWSER"
Scheme: TypeAlias = Literal["light", "dark"]
Motion: TypeAlias = Literal["reduce", "no-preference"]


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


@contextmanager
def headless() -> Iterator[Browser]:
    """One, as long as the context lasts."""
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


def opened_page(
    browser: Browser,
    url: str,
    width: int,
    scheme: Scheme,
    motion: Motion = "no-preference",
    script: bool = True,
) -> tuple[Page, list[str]]:
    """A page, loaded whole; and its complaints: what it says on its console, what goes wrong in it,
    and what it asks for that is no file. More may come as it goes on."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme,
                            reduced_motion=motion, java_script_enabled=script)  # fmt: skip
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url)
            if request.url.split(":")[0] not in ("file", "data") else None)  # fmt: skip
    page.goto(url, wait_until="load")
    return page, complaints
