"""The pages for whoever works on the lab name files that are there; the README leads to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md",
         *sorted((ROOT / "docs").glob("*.md"))]  # fmt: skip


def test_the_readme_leads_to_the_pages_for_who_works_on_it() -> None:
    _, _, end = (ROOT / "README.md").read_text("utf-8").partition("## Working on it")
    linked = set(re.findall(r"\]\(([^)]+\.md)\)", end))
    assert linked >= {"docs/architecture.md", "docs/data.md", "docs/plugins.md",
                      "CONTRIBUTING.md", "CHANGELOG.md"}  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(
        r"\]\((?!https?://|#)([^)\s#]+)(?:#[^)]*)?\)", page.read_text("utf-8")
    ):
        assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_every_file_of_a_recipe_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:servers|harness|tests|docs)/[\w/.]+\.\w+)`", text)
    there = [name for name in named if "NAME" not in name]
    assert len(set(there)) > 25
    for name in there:
        assert (ROOT / name).is_file(), name


def test_the_changelog_begins_with_what_is_not_released() -> None:
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    kinds = re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
