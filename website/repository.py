"""Files of the repository that pages link: source as a page of its own, the rest as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)((?:#[^)\s]*)?)(?=\))")
_LANGUAGES = {
    ".py": "python", ".cpp": "cpp", ".h": "cpp", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml",
    ".txt": "text", ".sh": "bash", "": "text",
}  # fmt: skip


# The marks of figures that come from runs: one at the beginning of a line would end its paragraph.
_MARK = re.compile(r"<!-- /?result[^>]*-->")


def linked(text: str, page: str) -> Iterator[str]:
    """The files and folders of the repository that a page links, from its root."""
    for found in _LINK.finditer(text):
        target = _from_root(page, found[1])
        if (ROOT / target).exists():
            yield target


def relinked(text: str, page: str) -> str:
    """The page with its links to source, folders and notebooks leading to their pages, and without
    the marks of figures."""

    def renewed(found: re.Match[str]) -> str:
        target = _from_root(page, found[1])
        if not (ROOT / target).exists():
            return found[0]
        return os.path.relpath(page_of(target), Path(page).parent) + found[2]

    return _LINK.sub(renewed, _MARK.sub("", text))


def page_of(target: str) -> str:
    """Where a file of the repository is on the site, by its path from the root; itself if it is
    there as it is."""
    if (ROOT / target).is_dir():
        return f"{target}/files.md"
    suffix = Path(target).suffix
    if suffix == ".ipynb":
        return f"{target.removesuffix('.ipynb')}.md"
    return f"{target}.md" if suffix in _LANGUAGES else target


def source_page(target: str) -> str | None:
    """The page of a file of source, or of a folder with all that is in it; None for what is no
    source."""
    path = ROOT / target
    if path.is_dir():
        inside = [file for file in sorted(path.iterdir()) if file.suffix in _LANGUAGES]
        shown = [f"## `{file.name}`\n\n{_listing(file)}" for file in inside if file.is_file()]
        return f"# {target}\n\n" + "\n\n".join(shown)
    if path.suffix not in _LANGUAGES:
        return None
    return f"# {target}\n\n{_listing(path)}"


def _listing(file: Path) -> str:
    """Its text in a fence that is longer than any within."""
    text = file.read_text("utf-8")
    fence = "`" * max(4, *(len(ticks) + 1 for ticks in re.findall("`+", text) or [""]))
    return f"{fence}{_LANGUAGES[file.suffix]}\n{text}\n{fence}\n"


def _from_root(page: str, target: str) -> str:
    return os.path.normpath(Path(page).parent / target)
