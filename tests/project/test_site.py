"""The site as it is built here, offline: what it has, where its links lead, and how its pages are
for whoever has a keyboard, a narrow screen or dark colours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.support.chromium import Scheme, opened_page

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(file.stem for file in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
if find_spec("mkdocs") is None or find_spec("mkdocstrings_handlers") is None:
    pytest.skip("no MkDocs here, so no site: pip install '.[site]'", allow_module_level=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A link that leads nowhere, or a warning, ends the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "SITE_URL": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


# ---- what is there --------------------------------------------------------------------------


def test_texts_course_api_and_records_are_pages(site: Path) -> None:
    texts = [file.with_suffix(".html").name for file in (ROOT / "docs").glob("*.md")]
    expected = [f"docs/{name}" for name in texts] + [f"notebooks/{name}.html" for name in NOTEBOOKS]
    expected += ["index.html", "CONTRIBUTING.html", "CHANGELOG.html", "look.html", "gallery.html"]
    expected += ["results/history/history.html", "results/reference/report.html"]
    assert [name for name in expected if not (site / name).is_file()] == []
    assert "thread-pool" in text_of(site / "results/history/history.html")


def test_every_text_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for file in sorted((ROOT / "docs").glob("*.md")):
        assert f"docs/{file.name}" in navigation, file


def test_a_notebook_has_its_outputs_and_folds_its_answers(site: Path) -> None:
    for name in NOTEBOOKS:
        page = text_of(site / "notebooks" / f"{name}.html")
        assert 'class="output"' in page, name
        hidden = [
            c for c in cells_of(name) if c["metadata"].get("jupyter", {}).get("outputs_hidden")
        ]
        assert page.count('<details class="output">') == len([c for c in hidden if c["outputs"]])
        before, _, after = page.partition('<details class="success">')
        assert "assert check(" in re.sub("<[^>]+>", "", after), name
        assert "assert check(" not in re.sub("<[^>]+>", "", before), name
    cells = cells_of(NOTEBOOKS[3])
    said = [
        "".join(output["data"]["text/markdown"])
        for cell in cells
        for output in cell.get("outputs", ())
        if "text/markdown" in output.get("data", {})
    ]
    shown = text_of(site / "notebooks" / f"{NOTEBOOKS[3]}.html")
    assert said
    assert all(sentence in shown for sentence in said)


def cells_of(name: str) -> list[dict[str, Any]]:
    """The cells of a notebook of the course."""
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8")
    cells: list[dict[str, Any]] = json.loads(text)["cells"]
    return cells


def test_the_api_is_of_the_docstrings(site: Path) -> None:
    page = text_of(site / "docs" / "api.html")
    for name in ("harness.lab.compare", "harness.lab.Experiment.table", "servers.backend.Backend"):
        assert f'id="{name}"' in page


def test_no_mark_of_a_figure_is_left_and_none_splits_a_sentence(site: Path) -> None:
    page = text_of(site / "docs" / "results.html")
    assert "result:" not in page.partition("<article")[2].partition("</article>")[0]
    assert re.search(r"<p>[^<]*trials with[^<]*requests at", page)


# ---- links ----------------------------------------------------------------------------------


class Links(HTMLParser):
    """The addresses in a page, and the names that may be linked in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = {"", "__codelineno"}
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.names.add(value)
            elif name in ("href", "src") and value is not None:
                self.targets.append(value)
                if tag in ("script", "img", "iframe") or tag == "link":
                    self.loaded.append(value)


def test_every_link_within_the_site_leads_to_what_is_there(site: Path) -> None:
    pages = {page: Links(text_of(page)) for page in every(site)}
    assert len(pages) > 30
    wrong = []
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue  # of others: not asked
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            name = unquote(parts.fragment)
            if not file.is_file():
                wrong.append(f"{page.relative_to(site)}: {target}")
            elif file in pages and name not in pages[file].names and "=" not in name:
                wrong.append(f"{page.relative_to(site)}: {target} names no place")
    assert wrong == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        found = [t for t in Links(text_of(page)).loaded if urlsplit(t).netloc]
        assert found == [], page


# ---- in a browser ---------------------------------------------------------------------------


def opened(browser: Browser, page: Path, width: int, scheme: Scheme) -> Page:
    """A page as a file, loaded whole and unfolded; it asks for nothing else than files."""
    shown, complaints = opened_page(browser, page.as_uri(), width, scheme)
    shown.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert complaints == []
    return shown


def test_axe_finds_nothing_serious_and_a_telephone_needs_no_horizontal_scroll(
    browser: Browser, site: Path
) -> None:
    """axe sees pages in turns dark and narrow, light and wide; some in both. Of listings
    of source, which are all alike, one is looked at, and reports by `tests/harness/report`. Of each
    folder two pages are, all of them by `make site-test`, which takes minutes."""
    both = [site / name for name in ("index.html", "gallery.html", "docs/api.html",
            f"notebooks/{NOTEBOOKS[1]}.html", "results/history/history.html")]  # fmt: skip
    one_listing = site / "servers" / "thread_pool.py.html"
    looked_at = [p for p in every(site) if p == one_listing or not is_listing(p, site)]
    found = []
    if not os.environ.get("LAB_EVERY_PAGE"):
        looked_at = sorted({*both, *two_of_each_folder(looked_at)})
    for place, page in enumerate(p for p in looked_at if p.name != "report.html"):
        name = page.relative_to(site).as_posix()
        if page in both or place % 2:
            found += looked(opened(browser, page, 375, "dark"), f"{name}, dark")
        if page in both or not place % 2:
            found += looked(opened(browser, page, 1280, "light"), f"{name}, light")
    assert found == []


def every(site: Path) -> list[Path]:
    """All pages but the one for what is not there, which needs a server."""
    return sorted(page for page in site.rglob("*.html") if page.stem != "404")


def two_of_each_folder(pages: list[Path]) -> list[Path]:
    folders = {page.parent for page in pages}
    return [page for folder in folders for page in [p for p in pages if p.parent == folder][:2]]


def is_listing(page: Path, site: Path) -> bool:
    return page.relative_to(site).parts[0] in ("servers", "harness", ".github")


def looked(page: Page, name: str) -> list[str]:
    """The violations that keep somebody from using the page, and whether it is too wide for 375
    pixels; the page is closed."""
    response = Axe().run(page, options={"resultTypes": ["violations"]}).response
    page.set_viewport_size({"width": 375, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth") > 375
    page.close()
    return [f"{name}: it scrolls sideways"] * wide + [
        f"{name}: {violation['id']} {[node['html'][:100] for node in violation['nodes'][:2]]}"
        for violation in response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def test_the_search_finds_a_page_without_a_server(browser: Browser, site: Path) -> None:
    page = opened(browser, site / "index.html", 1280, "light")
    # Typed: the page reads what is there at a key's release and once as its index becomes ready, so
    # text that is put in without keys (`fill`) is read only where it comes before the index.
    page.locator("input[name=query]").press_sequentially("coordinated omission")
    page.locator(".md-search-result__link").first.wait_for()
    assert "coordinated" in page.locator(".md-search-result__list").inner_text().lower()
    page.close()


def test_the_reader_may_choose_dark(browser: Browser, site: Path) -> None:
    page = opened(browser, site / "index.html", 1280, "light")
    colours = []
    for _ in range(2):
        page.locator("form[data-md-component=palette] label:visible").click()
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(set(colours)) == 2
    page.close()
