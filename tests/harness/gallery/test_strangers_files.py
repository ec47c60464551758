"""Gallery files from strangers: one sentence, or text that is nothing else where it is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import html5lib
import msgspec
import pytest
from markdown_it import MarkdownIt

from harness.core.errors import LabError
from harness.gallery.export import gallery_entry, gallery_text
from harness.gallery.page import gallery_page
from harness.gallery.reading import MOST_BYTES, gallery_files, read_entry
from harness.gallery.record import Entry
from tests.support.labrun import Labrun
from tests.support.reference import reference_level
from tests.support.strange import Record, put


@pytest.fixture(scope="module")
def good() -> str:
    return gallery_text(reference_level())


def twice(record: Record) -> None:
    record["comparisons"].append(record["comparisons"][0])


LETTERS = "has letters that no name of a machine or server has"
VALUES: dict[str, tuple[Callable[[Record], None], str]] = {
    "markup for a name": (put("arms/1/name", "<script>alert(1)</script>"), LETTERS),
    "Markdown for a name": (put("arms/1/name", "[x](javascript:alert(1))"), LETTERS),
    "mathematics": (put("machine/cpu_model", "$\\frac{1}{2}$"), LETTERS),
    "a path": (put("arms/0/name", "../../etc/passwd"), LETTERS),
    "a command to a terminal": (put("machine/kernel", "\x1b[31m"), LETTERS),
    "two lines": (put("machine/kernel", "6.1\n# head"), LETTERS),
    "a line's end": (put("machine/kernel", "6.1\n"), LETTERS),
    "letters from right to left": (put("arms/1/name", "\u202egpj.exe"), LETTERS),
    "a formula": (put("arms/1/name", "=HYPERLINK(1)"), LETTERS),
    "a host": (put("arms/1/name", "at 192.168.1.7"), "looks like an address"),
    "a name as long as a book": (put("arms/1/name", "x" * 100_000), "at `$.arms[1].name`"),
    "an unknown field": (put("machine/host", "alice"), "unknown field `host`"),
    "another unknown field": (put("script", "alert(1)"), "unknown field `script`"),
    "a metric that is none": (put("comparisons/0/metric", "__class__.<b>"), LETTERS),
    "a huge number": (put("comparisons/0/ratio", 1e300), "beyond any that could be measured"),
    "a large number": (put("comparisons/0/ratio", 1e17), "`$.comparisons[0].ratio`"),
    "a ratio below 0": (put("comparisons/0/ratio", -1.0), "`$.comparisons[0].ratio`"),
    "a text for a number": (put("comparisons/0/ratio", "fast"), "Expected `float | null`"),
    "no level": (put("comparisons/0/rps", 0.0), "`$.comparisons[0].rps`"),
    "an interval the wrong way": (put("comparisons/0/ci_low", 1e9), "outside its interval"),
    "another's arm": (put("comparisons/0/arm", 7), "figures of server 8 and 2 servers"),
    "no server": (put("arms", []), "`$.arms`"),
    "no comparison": (put("comparisons", []), "`$.comparisons`"),
    "a comparison twice": (twice, "RPS twice"),
    "a day that is none": (put("created", "soon"), "the text at `$.created`"),
    "a day that no month has": (put("created", "2026-02-31T00:00:00Z"), "there is no '2026-02-31"),
    "an old version": (put("gallery", 0), "has gallery schema 0; this lab reads 1"),
    "a later version": (put("gallery", 2), "has gallery schema 2; this lab reads 1"),
    "a version that is a story": (put("gallery", "x" * 1000), "this lab reads 1"),
    "a version that is a truth": (put("gallery", True), "this lab reads 1"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), VALUES.values(), ids=VALUES)
def test_a_value_that_cannot_be_is_told_in_a_sentence(
    good: str, tmp_path: Path, labrun: Labrun, change: Callable[[Record], None], words: str
) -> None:
    record = json.loads(good)
    change(record)
    (tmp_path / "theirs.json").write_text(json.dumps(record), "utf-8")
    assert_told(labrun("export", "--check", "theirs.json"), words)


def assert_told(done: Any, words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert len(done.stderr) < 600
    assert "Traceback" not in done.stderr
    assert done.stderr.rstrip("\n").isprintable()


def large(file: Path) -> None:
    with open(file, "wb") as sparse:
        sparse.truncate(100 << 20)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "100 MB": (large, f"larger than any that a run leaves ({MOST_BYTES >> 20} MiB)"),
    "no JSON": (lambda f: f.write_text("<html>"), "it is corrupt"),
    "no text": (lambda f: f.write_bytes(b"\xff\xfe"), "it is corrupt"),
    "nothing": (lambda f: f.write_bytes(b""), "it is empty"),
    "a list": (lambda f: f.write_text("[]"), "another file"),
    "a run's record": (lambda f: f.write_text('{"trials": []}'), "a run's record"),
    "a million brackets": (lambda f: f.write_text("[" * 1_000_000), "nested beyond any record"),
    "not a number": (lambda f: f.write_text('{"gallery": NaN}'), "it is corrupt"),
    "more than a number": (lambda f: f.write_text('{"gallery": 1, "x": 1e999}'), "no gallery file"),
    "a pipe": (os.mkfifo, "it is no file of data"),
    "a device": (lambda f: f.symlink_to("/dev/zero"), "it is no file of data"),
    "none at all": (lambda f: None, "cannot read"),
}


@pytest.mark.parametrize(("make", "words"), FILES.values(), ids=FILES)
def test_a_file_that_is_none_is_told_in_a_sentence(
    tmp_path: Path, labrun: Labrun, make: Callable[[Path], object], words: str
) -> None:
    make(tmp_path / "theirs.json")
    assert_told(labrun("export", "--check", "theirs.json"), words)


def test_of_a_folder_each_file_is_told(good: str, tmp_path: Path, labrun: Labrun) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text(good)
    (tmp_path / "c.json").write_text("")
    done = labrun("export", "--check", ".")
    assert done.returncode == 2
    assert done.stdout.startswith("b.json: thread-pool against thread-per-request")
    assert len(done.stderr.splitlines()) == 2


def test_a_folder_without_any_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no gallery file in"):
        gallery_files(tmp_path)


def renamed(entry: Entry, name: str) -> Entry:
    """As no file could have it: names of records are not checked again."""
    arms = [
        msgspec.structs.replace(arm, name=f"{name}{n}", python=name)
        for n, arm in enumerate(entry.arms)
    ]
    machine = msgspec.structs.replace(entry.machine, cpu_model=name, kernel=name)
    return msgspec.structs.replace(entry, arms=arms, machine=machine)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "*a* [x](javascript:y) `z`", '" onload="x', "$\\frac{b$"]
)
def test_even_a_name_that_no_file_may_have_is_text_where_it_is_shown(name: str) -> None:
    entry = renamed(gallery_entry(reference_level()), name)
    text = gallery_page([("x.json", entry)], "gallery")
    page = MarkdownIt("commonmark").render(text)
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    for element in tree.iter():
        assert element.tag not in ("script", "em", "code", "iframe", "img"), name
        for attribute, value in element.attrib.items():
            assert not str(attribute).startswith("on"), name
            if str(attribute).rpartition("}")[2] == "href":
                assert value.startswith(("gallery/", "#")), value
    assert name in "".join(tree.itertext())


def test_a_file_is_read_as_it_was_written(good: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(good, "utf-8")
    assert read_entry(tmp_path / "x.json") == gallery_entry(reference_level())
