"""Do the pictures of a page move smoothly? `python -m benchmarks.frames`

Frames a second of headless Chromium, by the times that requestAnimationFrame gives, while the
simulator draws 5,000 dots; Chromium is kept on two CPUs. Exit status 1 below 30, 2 without
Chromium. `--replay FILE`: of a page of `labrun replay` instead, while it plays. With `--picture
FILE` nothing is measured: the picture of it for browsers without JavaScript is made, of a real
state.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.common import met, print_table

PAGE = Path(__file__).parents[1] / "docs" / "simulator" / "index.html"
DOTS, MARK, LEAST = 5000, 60.0, 30.0
FRAMES = 300
PATIENCE_MS = 120_000
# Handlers that wait ten seconds: 250 a second are 2,500 in flight in each of two servers.
SETTING = (
    "#rate=250&arrivals=constant&service=constant&cpu_us=0&io_us=10000000&thread_us=0&workers=1000"
    "&queue=0&timeout_ms=60000&left=thread-per-request&right=event-loop&speed=1&at=10.5"
)
MOMENT = "#preset=collapse&at=1.5"
_FRAME_TIMES = """count => new Promise(done => {
  const times = [];
  requestAnimationFrame(function next(at) {
    times.push(at);
    if (times.length > count) { done(times); } else { requestAnimationFrame(next); }
  });
})"""


def opened(page: Page, fragment: str) -> Page:
    """The simulator at the moment that a link names."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(PAGE.as_uri() + fragment)
    page.wait_for_function(
        "() => { const m = simulator.moment(); return m.target > 0 && m.now >= m.target; }"
    )
    return page


def frame_times(page: Page) -> tuple[list[float], int]:
    """Milliseconds between frames while the dots move, and how many dots there are."""
    opened(page, SETTING).get_by_role("button", name="Play", exact=True).click()
    times = page.evaluate(_FRAME_TIMES, FRAMES)
    dots = sum(page.evaluate("simulator.dots()"))
    return [after - before for before, after in itertools.pairwise(times)], dots


def replay_frame_times(page: Page, file: Path) -> tuple[list[float], int]:
    """Milliseconds between frames while a replay plays from its beginning, and how many requests it
    has."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(file.resolve().as_uri())
    page.wait_for_function("() => window.replay !== undefined")
    page.evaluate("replay.go(0)")
    if not page.evaluate("replay.moment().playing"):
        page.locator("#play").click()
    times = page.evaluate(_FRAME_TIMES, FRAMES)
    requests = page.evaluate("replay.arms.reduce((sum, arm) => sum + arm.requests.length, 0)")
    return [after - before for before, after in itertools.pairwise(times)], requests


def picture(page: Page, file: Path) -> None:
    """A picture of both servers at a moment of a preset."""
    opened(page, MOMENT)
    page.wait_for_timeout(1000)  # the figures are written four times a second
    page.locator(".lanes").screenshot(path=file)


def main() -> int:
    """Exit status 0; 1 where there are fewer frames than the least, 2 where there is no browser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--replay", type=Path, metavar="FILE", help="a page of labrun replay")
    which.add_argument("--picture", type=Path, metavar="FILE", help="make the picture, no figures")
    asked = parser.parse_args()
    if asked.replay is not None and not asked.replay.is_file():
        parser.error(f"there is no file {asked.replay}; labrun replay writes one")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        print("no Chromium on this machine: apt-get install chromium", file=sys.stderr)
        return 2
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE_MS
        )
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        if asked.picture is not None:
            picture(page, asked.picture)
            return 0
        gaps_ms, drawn = (
            frame_times(page) if asked.replay is None else replay_frame_times(page, asked.replay)
        )
        browser.close()
    rate, slowest = 1000 / statistics.mean(gaps_ms), sorted(gaps_ms)[int(len(gaps_ms) * 0.99)]
    rows = [
        ["dots", f"{drawn:,}", f"{DOTS:,}", met(drawn, DOTS * 0.98, False)]
        if asked.replay is None
        else ["requests", f"{drawn:,}", "", ""],
        ["frames a second", f"{rate:.1f}", f"{MARK:g}", met(rate, MARK * 0.98, False)],
        ["p99 between two frames", f"{slowest:.1f} ms", "", ""],
    ]
    what = "The simulator" if asked.replay is None else "The replay"
    print_table(f"{what} over {FRAMES} frames", ("", "reached", "mark", ""), rows)
    return 0 if rate >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
