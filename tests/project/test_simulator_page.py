"""docs/simulator in a real browser: from a file, from a link, by keyboard, without JavaScript."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.support.chromium import Motion, Scheme, opened_page

PAGE = Path(__file__).parents[2] / "docs" / "simulator" / "index.html"
PRESETS = ["crossing", "collapse", "slow-client", "head-of-line", "textbook"]
THERE = "() => { const m = simulator.moment(); return m.now >= m.target; }"


def opened(
    browser: Browser,
    fragment: str = "",
    *,
    width: int = 1280,
    scheme: Scheme = "light",
    motion: Motion = "reduce",
    script: bool = True,
) -> Page:
    """The page by a link, at the moment that it names. It asks no network, and nothing fails."""
    page, complaints = opened_page(browser, PAGE.as_uri() + fragment, width, scheme, motion, script)
    if script:
        page.wait_for_function(THERE)
    assert complaints == []
    return page


def figures(page: Page) -> list[str]:
    """What both servers' figures say."""
    page.evaluate("simulator.report()")
    shown: list[str] = page.locator(".figures dd, .said").all_inner_texts()
    return shown


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_reached_by_a_link_and_says_what_to_look_at_on_a_telephone_too(
    browser: Browser, preset: str
) -> None:
    page = opened(browser, f"#preset={preset}&at=2", width=375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.locator("nav [aria-current]").get_attribute("href") == f"#preset={preset}"
    assert len(page.locator("#story").inner_text()) > 80
    assert not page.locator("#notice").is_visible()
    assert page.locator("#clock").inner_text() == "2.000 s"
    page.close()


def test_a_link_shows_what_was_seen(browser: Browser) -> None:
    page = opened(browser, "#preset=collapse&seed=77&workers=5&at=0.7")
    page.get_by_role("button", name="Link to this moment").click()
    seen, link = figures(page), page.evaluate("location.hash")
    page.close()
    again = opened(browser, link)
    assert figures(again) == seen
    assert again.locator("#set-workers").input_value() == "5"
    again.close()


def test_a_link_names_the_whole_setting(browser: Browser) -> None:
    page = opened(browser, "#preset=slow-client")
    page.locator("#set-rate").fill("150")
    page.locator("#set-rate").press("Enter")
    link = page.evaluate("location.hash")
    named = page.evaluate("Settings.FIELDS.map(field => field.name)")
    assert all(f"{name}=" in link for name in named)
    assert "rate=150" in link
    page.close()


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("#rate=NaN", "rate is a number from 0.1 to 50000: 200 taken."),
        ("#rate=", "rate is a number from 0.1 to 50000: 200 taken."),
        ("#rate=0x10", "rate is a number"),
        ("#rate=-3", "rate is from 0.1 to 50000: 0.1 taken."),
        ("#workers=1e9", "workers is from 1 to 1000: 1000 taken."),
        ("#workers=2.5", "workers is a whole number: 3 taken."),
        ("#cpu_us=1e999", "cpu_us is from 0 to 10000000: 10000000 taken."),
        ("#policy=<b>random", "policy is one of fifo, lifo, drop-expired: fifo taken."),
        ("#left=toString", "left is one of"),
        ("#preset=__proto__", "There is no such preset"),
        ("#<img src=x onerror=alert(1)>=1", "is no setting."),
        ("#at=-1", "at is from 0 to 600: 0 taken."),
    ],
)
def test_what_a_link_gets_wrong_is_put_right_and_said(
    browser: Browser, link: str, said: str
) -> None:
    page = opened(browser, link)
    assert said in page.locator("#notice").inner_text()
    assert page.locator("#notice *").count() == 0
    page.close()


def test_a_link_full_of_nonsense_is_answered_shortly(browser: Browser) -> None:
    page = opened(browser, "#" + "&".join(f"x{n}={n}" for n in range(500)))
    said = page.locator("#notice").inner_text()
    assert said.endswith("And 496 more.")
    page.close()


def test_what_a_person_types_is_put_right_and_said(browser: Browser) -> None:
    page = opened(browser)
    page.locator("#set-cores").fill("-4")
    page.locator("#set-cores").press("Enter")
    assert page.locator("#notice").inner_text() == "cores is from 1 to 64: 1 taken."
    assert page.locator("#set-cores").input_value() == "1"
    page.close()


def test_the_keyboard_reaches_everything(browser: Browser) -> None:
    page = opened(browser, "#preset=crossing")
    reached: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.hash"))
    wanted = {"play", "again", "speed", "link", *(f"#preset={name}" for name in PRESETS)}
    assert wanted <= reached
    assert {"set-rate", "set-policy", "set-right"} <= reached
    page.locator("#play").focus()
    page.keyboard.press("Space")
    page.wait_for_function("() => simulator.moment().now > 0")
    page.keyboard.press("Space")
    assert page.evaluate("simulator.moment().playing") is False
    page.close()


def test_who_wants_little_motion_gets_none_unasked(browser: Browser) -> None:
    still = opened(browser, motion="reduce")
    assert still.evaluate("simulator.moment().playing") is False
    still.close()
    moving = opened(browser, motion="no-preference")
    assert moving.evaluate("simulator.moment().playing") is True
    moving.wait_for_function("() => simulator.moment().now > 0")
    moving.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("preset", ["collapse", "slow-client"])
def test_axe_finds_nothing_to_complain_of(browser: Browser, preset: str, scheme: Scheme) -> None:
    page = opened(browser, f"#preset={preset}&at=1&x=1", scheme=scheme)
    results = Axe().run(page, options={"resultTypes": ["violations"]})
    assert results.violations_count == 0, results.generate_report()
    page.close()


def test_without_javascript_there_is_a_picture_and_a_sentence(browser: Browser) -> None:
    page = opened(browser, script=False, width=375)
    picture = page.locator("noscript img")
    assert picture.is_visible()
    box = picture.bounding_box()
    assert box is not None
    assert box["height"] > 100  # it was found and drawn
    assert "needs JavaScript" in page.locator("noscript figcaption").inner_text()
    assert not page.locator("#app").is_visible()
    page.close()


def test_what_cannot_be_drawn_is_counted_and_what_only_grows_ends(browser: Browser) -> None:
    page = opened(browser, "#rate=50000&cpu_us=10000000&cores=1&queue=0&at=3")
    assert page.evaluate("simulator.lanes.map(lane => lane.stopped)") == [True, True]
    assert page.evaluate("simulator.dots()") == [5000, 5000]
    said = [
        text
        for text in figures(page)
        if "Only 5,000 are drawn. Stopped: 100,000 are in flight" in text
    ]
    assert len(said) == 2
    page.close()
