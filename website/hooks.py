"""What MkDocs calls: which files the site has, and how their links are written.

Each file of the repository keeps its path there, `docs/method.md` as `notebooks/00-start-here.md`,
so that links between texts need no other form on the site. What a text links and what is no page
comes along: source as a listing, pictures and data as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from website import pages
from website.notebooks import notebook_page
from website.repository import ROOT, linked, relinked, source_page

_TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
_MADE = {"look.md", "gallery.md"}


def on_config(config: MkDocsConfig) -> None:
    """The course's place in the navigation has a page for each notebook."""
    assert config.nav is not None
    for entry in config.nav:
        if isinstance(entry, dict) and "Course" in entry:
            entry["Course"][:0] = [f"notebooks/{file.stem}.md" for file in _notebooks()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All files of the site, by their paths in the repository."""
    site = _Site(config)
    for file in files:
        if file.src_dir != config.docs_dir:
            site.files.append(file)  # the theme's
        else:
            site.take(f"docs/{file.src_uri}")
    for text in _TEXTS:
        site.take(text)
    for asset in sorted((ROOT / "website" / "assets").iterdir()):
        site.put(f"assets/{asset.name}", file=asset)
    for notebook in _notebooks():
        site.notebook(notebook)
    site.records()
    site.put("docs/api.md", pages.API)
    site.follow()
    return site.files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to what has a page of its own on the site lead there."""
    return markdown if page.file.src_uri in _MADE else relinked(markdown, page.file.src_uri)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The search has a name for whoever hears the page."""
    return output.replace('role="dialog">', 'role="dialog" aria-label="Search">')


def _notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


class _Site:
    """The files of the site as they are gathered."""

    def __init__(self, config: MkDocsConfig) -> None:
        self.files = Files([])
        self._config = config
        self._texts: dict[str, str] = {}

    def take(self, target: str) -> None:
        """A file of the repository, as it is."""
        self.put(target, file=ROOT / target)

    def put(self, uri: str, text: str | bytes | None = None, file: Path | None = None) -> None:
        """A file of the site with that text, or that of a file; one that is there is replaced."""
        if (old := self.files.get_file_from_path(uri)) is not None:
            self.files.remove(old)
        made: dict[str, Any] = {"content": text} if file is None else {"abs_src_path": str(file)}
        # Included by word, or what begins with a dot is left out.
        made |= {"inclusion": InclusionLevel.INCLUDED}
        self.files.append(File.generated(self._config, uri, **made))
        if uri.endswith(".md"):
            self._texts[uri] = file.read_text("utf-8") if file else str(text)

    def notebook(self, file: Path) -> None:
        answers = file.parent / "solutions" / file.name
        page = notebook_page(file, answers if answers.exists() else None)
        self.put(f"notebooks/{file.stem}.md", page.text)
        for name, picture in page.pictures.items():
            self.put(f"notebooks/{name}", picture)

    def records(self) -> None:
        """What is made of recorded runs."""
        history = pages.history()
        self.put(f"{pages.HISTORY}/history.html", pages.history_html(history))
        for folder in pages.reports():
            self.take(f"{folder}/{pages.REPORT}")
        self.put("look.md", pages.look(history))
        self.put("gallery.md", pages.gallery())
        for file in sorted((ROOT / pages.GALLERY).glob("*.json")):
            self.take(f"{pages.GALLERY}/{file.name}")

    def follow(self) -> None:
        """What the pages link and what is no page yet; of source, its listing."""
        for uri, text in list(self._texts.items()):
            for target in linked(text, uri):
                listing = source_page(target)
                where = f"{target}/files.md" if (ROOT / target).is_dir() else f"{target}.md"
                if listing is not None:
                    self.put(where, listing)
                elif self.files.get_file_from_path(target) is None and not target.endswith(
                    ".ipynb"
                ):
                    self.take(target)
