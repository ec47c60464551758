"""docs/architecture.md follows a request and a figure through files and names that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_every_file_and_name_that_the_page_follows_is_there() -> None:
    files = set(re.findall(r"`((?:servers|harness|tests)/[\w/]+\.\w+)`", PAGE))
    assert len(files) > 15
    for file in files:
        assert (ROOT / file).is_file(), file
    code = "\n".join(
        path.read_text("utf-8")
        for folder in ("servers", "harness")
        for path in sorted((ROOT / folder).rglob("*.py"))
    )
    for name in re.findall(r"`(?:\w+\.)?(_?\w+)` in `(?:servers|harness)/", PAGE):
        assert re.search(rf"^\s*(?:def|class) {name}\b", code, re.MULTILINE), name
