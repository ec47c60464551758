"""The page in a real browser: headless Chromium, the system's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from harness.report import write_report
from harness.report.source import Source
from tests.support.chromium import Scheme, opened_page


@pytest.fixture(scope="module")
def report(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the README's run."""
    return write_report(source, tmp_path_factory.mktemp("report"))[0]


def opened(browser: Browser, report: Path, width: int = 1200, scheme: Scheme = "light") -> Page:
    """The report, loaded whole. It asks no network, and nothing fails."""
    page, complaints = opened_page(browser, report.as_uri(), width, scheme)
    assert complaints == []
    return page


def assert_no_violation(page: Page) -> None:
    """axe finds nothing; the page is closed."""
    results = Axe().run(page, options={"resultTypes": ["violations"]})
    assert results.violations_count == 0, results.generate_report()
    page.close()


def first_column(page: Page) -> list[str]:
    heads = page.locator("#comparison ~ .wide tbody th").all_inner_texts()
    return [text.strip() for text in heads]


def ratios(page: Page) -> list[float]:
    return [
        float(value)
        for cell in page.locator("#comparison ~ .wide tbody tr td:nth-child(4)").all()
        if (value := cell.get_attribute("data-sort")) is not None
    ]


def test_it_loads_without_a_request_or_an_error(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    assert page.locator("h1").inner_text().startswith("At 2,000 RPS")
    assert page.locator("svg[role=img]").count() >= 4
    page.close()


def test_a_click_sorts_and_another_reverses(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    before = ratios(page)
    head = page.locator("#comparison ~ .wide thead th:nth-child(4)")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert ratios(page) == sorted(before) != before
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert ratios(page) == sorted(before, reverse=True)
    assert "descending" in page.get_by_role("status").inner_text()
    page.close()


def test_the_keyboard_sorts_by_words_too(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    before = first_column(page)
    page.locator("#comparison ~ .wide thead th:nth-child(1) button").focus()
    page.keyboard.press("Enter")
    after = first_column(page)
    assert after == sorted(before, key=str.lower)
    assert page.evaluate("document.activeElement.textContent") == "Figure"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    heads = page.locator("#comparison ~ .wide thead th")
    assert [head.get_attribute("aria-sort") for head in heads.all()] == [
        None, "ascending", None, None,
    ]  # fmt: skip
    page.close()


@pytest.mark.parametrize("arms", ["two", "three"])
def test_a_telephone_needs_no_horizontal_scroll(
    browser: Browser, report: Path, three: Source, arms: str, tmp_path: Path
) -> None:
    shown = report if arms == "two" else write_report(three, tmp_path)[0]
    page = opened(browser, shown, width=380)
    for folded in page.locator("details").all():
        folded.evaluate("element => { element.open = true; }")
    wide = page.evaluate(
        "[...document.querySelectorAll('html, .wide, pre, svg')]"
        ".filter(e => e.scrollWidth > Math.min(e.clientWidth, 380))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    # The steps of three lives, the document's beside each, scroll within a frame of their own.
    assert [part for part in wide if arms == "two" or "anatomy" not in part] == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(browser: Browser, report: Path, scheme: Scheme) -> None:
    page = opened(browser, report, scheme=scheme)
    for folded in page.locator("details").all():
        folded.evaluate("element => { element.open = true; }")
    assert_no_violation(page)


def test_axe_finds_nothing_in_awkward_reports_either(
    browser: Browser, awkward: Source, tmp_path: Path
) -> None:
    page = opened(browser, write_report(awkward, tmp_path)[0])
    assert_no_violation(page)


def test_dark_changes_the_charts_with_the_page(browser: Browser, report: Path) -> None:
    inks = []
    for scheme in ("light", "dark"):
        page = opened(browser, report, scheme=scheme)
        inks.append(page.evaluate("getComputedStyle(document.querySelector('svg text')).fill"))
        page.close()
    assert inks[0] != inks[1]


def test_it_prints_with_everything_unfolded(browser: Browser, report: Path, tmp_path: Path) -> None:
    page = opened(browser, report, scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    printed = page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF")
    assert all(folded.evaluate("e => e.open") for folded in page.locator("details").all())
    page.close()
