"""28: files from strangers. A hostile record gives one sentence or a harmless report, and reading
changes nothing: only `labrun report` writes into a run's folder, and only its two files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import html5lib
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from harness.core.foreign import MOST_BYTES
from harness.store import REQUESTS_FILE, RUN_FILE, TIMELINE_FILE
from harness.studies.regress.exports import FORMATS
from tests.support.changed_runs import changed, saved
from tests.support.labrun import Labrun, run_lab
from tests.support.reference import reference_level, write_reference_level
from tests.support.strange import Record, put

POOL = "thread-pool"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run, to be made hostile."""
    folder = tmp_path_factory.mktemp("real")
    write_reference_level(folder)
    return folder


@pytest.fixture
def labrun(tmp_path: Path) -> Labrun:
    """Run `labrun` in a folder that has a run to compare with, `mine`."""
    saved(changed(reference_level(), "mine"), tmp_path / "mine")

    def run(*arguments: str) -> Any:
        return run_lab(tmp_path, *arguments)

    return run


def from_stranger(real: Path, folder: Path, change: Callable[[Record], None]) -> Path:
    """The real run in `folder` with its record changed."""
    folder.mkdir()
    for name in (REQUESTS_FILE, TIMELINE_FILE):
        os.link(real / name, folder / name)
    record = json.loads((real / RUN_FILE).read_text("utf-8"))
    change(record)
    (folder / RUN_FILE).write_text(json.dumps(record), "utf-8")
    return folder


# Every command that reads a run; `theirs` is the stranger's.
COMMANDS = [
    ("report", "theirs", "--out", "elsewhere"),
    ("report", "theirs"),
    ("claims", "theirs"),
    ("claims", "theirs", "--json", "-"),
    ("anatomy", "theirs"),
    ("history", "theirs", "--out", "graphs"),
    ("regress", "mine", "theirs"),
    ("regress", "theirs", "mine", "--format", "markdown"),
    ("regress", "theirs", "mine", "--format", "junit"),
    *(("export", "theirs", "--format", form) for form in FORMATS),
]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder: what is in it, and when it was changed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) for f in files}


def assert_harmless(done: Any) -> None:
    """A sentence and status 2, or what was asked for; nothing that a terminal obeys."""
    assert done.returncode in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "is missing" not in done.stderr  # every chart could be drawn
    assert not set(done.stdout + done.stderr) & set("\x07\x1b\x9b\r\u202e")
    if done.returncode == 2:
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert len(done.stderr) < 1000


# ---- names ----------------------------------------------------------------------------------


def rename(name: str) -> Callable[[Record], None]:
    """The second backend has another name, everywhere, and so have the run and its texts."""

    def change(record: Record) -> None:
        text = json.dumps(record).replace(json.dumps(POOL), json.dumps(name))
        record.update(json.loads(text))
        record |= {"id": name, "finding": name, "command": name, "incomplete_reason": name,
                   "warnings": [name]}  # fmt: skip
        record["settings"]["arms"] = [
            {"name": backend, "backend": backend, "options": {"workers": 8}}
            for backend in record["settings"]["backends"]
        ]
        for trial in record["trials"]:
            trial |= {"arm": trial["backend"]}
            trial |= {"warnings": [name], "invalid_reason": name}
        record["environment"] |= {"cpu_model": name, "kernel": name, "packages": {name: name}}

    return change


def of_few_figures(record: Record) -> None:
    """What a name can do it does in the graphs of one figure as of all."""
    kept = ("client.response_us.p50", "server.cpu_us_per_request.total")
    for cell in record["cells"]:
        cell["metrics"] = {path: cell["metrics"][path] for path in kept}
    record["comparisons"] = [c for c in record["comparisons"] if c["metric"] in kept]


NAMES = {
    "mathematics that are none, a script, markup": "$\\frac{b$ <script>alert(1)</script> [/] [bold",
    "markdown": "`]|*_x_* [click](javascript:alert(1)) ![i](//x) \\| ``` # x",
    "commands to a terminal, lines": "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eevil\r"
    "one\n\n# two\n```\n<b>three</b>",
    "a formula": '=HYPERLINK("http://x","y")',
    "a path": "../../../../tmp/theirs",
    "letters that no font has": "日本語 \U0001f600 \u0627",
    "nothing": "",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_a_name_and_nothing_else(
    real: Path, tmp_path: Path, labrun: Labrun, name: str
) -> None:
    folder = from_stranger(real, tmp_path / "theirs", all_of(rename(name), of_few_figures))
    record = json.loads((folder / RUN_FILE).read_text("utf-8"))  # to compare it with its like
    (tmp_path / "mine" / RUN_FILE).write_text(json.dumps(record | {"id": "mine"}), "utf-8")
    before = contents(tmp_path)
    for command in COMMANDS[1:]:
        done = labrun(*command)
        assert_harmless(done)
        if command[0] == "claims":  # they are about the document's two backends
            assert "the document's claims are not about run" in done.stderr
        else:
            assert done.returncode != 2, (command, done.stderr)
            assert done.stdout
    assert_a_page(folder / "report.html")
    assert_markdown((folder / "report.md").read_text("utf-8"))
    assert_table(labrun("export", "theirs", "--format", "csv").stdout)
    ET.fromstring(labrun("export", "theirs", "--format", "junit").stdout)
    for svg in (tmp_path / "graphs").glob("*.svg"):
        assert b"<script" not in svg.read_bytes()
        ET.parse(svg)
    after = contents(tmp_path)
    assert {k: v for k, v in after.items() if k in before} == before
    new = {k for k in after if k not in before and not k.startswith("graphs/")}
    assert new == {"theirs/report.html", "theirs/report.md"}


def assert_a_page(file: Path) -> None:
    """Only the page's own script, no other address than its own anchors, nothing that is called."""
    tree = html5lib.parse(file.read_text("utf-8"), namespaceHTMLElements=False)
    scripts = [element for element in tree.iter() if str(element.tag).endswith("script")]
    assert len(scripts) == 1
    assert "alert" not in (scripts[0].text or "")
    for element in tree.iter():
        for attribute, value in element.attrib.items():
            assert not str(attribute).startswith("on"), (element.tag, attribute)
            if str(attribute).rpartition("}")[2] in ("href", "src"):
                assert value.startswith(("#", "data:,")), value
    assert not [e for e in tree.iter() if e.tag in ("b", "img", "iframe", "object")]


def assert_markdown(text: str) -> None:
    """No HTML but the folds, no links, no pictures, and every heading is the lab's own."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    assert {t.type for t in inline} <= {
        "text", "strong_open", "strong_close", "softbreak", "html_inline", "text_special",
    }, {t.type for t in inline}  # fmt: skip
    html = [t.content for t in (*tokens, *inline) if t.type.startswith("html")]
    for piece in html:
        assert re.fullmatch(r"<details><summary>[^<]*</summary>\n?|</details>\n?", piece), piece
    heads = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert heads[0].startswith("MetricStream lab:")
    assert "two" not in heads


def assert_table(text: str) -> None:
    """No cell that a spreadsheet would work out; figures stay figures."""
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows
    for row in rows:
        for column in ("label", "backend", "metric", "note", "limit"):
            assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r")), row
    frame = pd.read_csv(io.StringIO(text))
    assert frame["value"].dtype == float


# ---- values ---------------------------------------------------------------------------------


def all_of(*changes: Callable[[Record], None]) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        for each in changes:
            each(record)

    return change


def no_request(record: Record) -> None:
    for trial in record["trials"]:
        client = trial["client"]
        client["scheduled"] = 0
        client["outcomes"] = dict.fromkeys(client["outcomes"], 0)
        client["success_rate"] = None


def one_arm(option: str, value: object) -> Callable[[Record], None]:
    """The second of the two is an arm with that option."""

    def change(record: Record) -> None:
        first, second = record["settings"]["backends"]
        record["settings"]["arms"] = [
            {"name": first, "backend": first},
            {"name": second, "backend": second, "options": {option: value}},
        ]

    return change


TRIAL, CELL = "trials/0/client", "cells/0/metrics/client.response_us.p99"
# A sentence with these words, or, where it is None, whatever is harmless.
VALUES: dict[str, tuple[Callable[[Record], None], str | None]] = {
    "a huge number": (put(f"{TRIAL}/response_us/p99", 1e300), "beyond any that could be measured"),
    "a huge count": (put("trials/0/kernel/retransmits", 10**30), "no whole run.json"),
    "large and tiny times": (
        all_of(
            put(f"{TRIAL}/response_us/p99", 1e17),
            put(f"{TRIAL}/response_us/p50", 1e-300),
            put(f"{CELL}/median", 1e17),
        ),
        None,
    ),
    "a time below 0": (put(f"{TRIAL}/response_us/p50", -1.0), "p50 is below 0"),
    "a count below 0": (put(f"{TRIAL}/outcomes/ok", -7), "ok is below 0"),
    "a text for a number": (put(f"{TRIAL}/response_us/p99", "fast"), "Expected `float | null`"),
    "a list for a text": (put("trials/0/backend", ["x"]), "Expected `str`"),
    "a word of no kind": (put("trials/0/class", "\x1b[31m"), "no whole run.json"),
    "a kind as long as a book": (put("trials/0/class", "x" * 100_000), "no whole run.json"),
    "a schema that is a story": (put("schema", "x" * 100_000), "this lab reads up to"),
    "a schema that is a list": (put("schema", [1]), "this lab reads up to"),
    "no level": (put("settings/rps", []), "0 levels"),
    "a level twice": (put("settings/rps", [2000.0, 2000.0]), "a level twice"),
    "a level of nothing": (put("settings/rps", [0.0]), "a level of 0 RPS"),
    "ten thousand levels": (put("settings/rps", [*range(1, 10_001)]), "10000 levels"),
    "no backend": (put("settings/backends", []), "0 backends"),
    "a name as long as a book": (rename("x" * 100_000), "a name of 100,000 letters"),
    "rounds of nothing": (put("settings/rounds", 0), "its rounds are 0"),
    "no workers": (put("settings/workers", 0), "its workers are 0"),
    "a slot that is none": (put("trials/0/slot", 99), "as backend 100"),
    "another's slot": (put("trials/0/slot", 1), "its settings do not"),
    "a cell of no level": (put("cells/0/rps", 77.0), "77 RPS, which is none of its levels"),
    "more outcomes than requests": (put(f"{TRIAL}/scheduled", 3), "not those of 3 requests"),
    "no request at all": (no_request, None),
    "a comparison of others": (put("comparisons/0/contender", "nginx"), "which it did not run"),
    "a metric of a later lab": (
        all_of(
            put("cells/0/metrics/server.new", {"median": 1, "ci_low": None, "ci_high": None}),
            put("comparisons/0/metric", "__class__"),
        ),
        None,
    ),
    "no metric at all": (put("cells/0/metrics", {}), None),
    "no comparison": (put("comparisons", []), None),
    "no trial": (put("trials", []), "not of one run"),
    "arms of other backends": (
        put("settings/arms", [{"name": "a", "backend": "b"}]), "its arms are not of its backends",
    ),
    "an arm's option that is none": (one_arm("__class__", 1), "an arm has __class__ 1"),
    "an arm's option of its machine": (one_arm("port", 1), "which no server can have"),
    "an arm's number that is a text": (one_arm("workers", "3"), "an arm has workers '3'"),
    "an arm's number that is a truth": (one_arm("workers", True), "which no server can have"),
    "an arm's text that is a number": (one_arm("workload", 3), "which no server can have"),
    "an arm's text as long as a book": (one_arm("workload", "x" * 100_000), "no server can have"),
    "an interval the wrong way": (
        put(CELL, {"median": 5.0, "ci_low": 9.0, "ci_high": 1.0, "beyond": ["median"]}), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), VALUES.values(), ids=VALUES)
def test_a_value_that_cannot_be_is_refused_or_does_no_harm(
    real: Path,
    tmp_path: Path,
    labrun: Labrun,
    change: Callable[[Record], None],
    words: str | None,
) -> None:
    folder = from_stranger(real, tmp_path / "theirs", change)
    before = contents(folder)
    for command in (COMMANDS[0], *COMMANDS[2:]):
        done = labrun(*command)
        assert_harmless(done)
        if command[0] == "report" and words is not None:
            assert done.returncode == 2
            assert words in done.stderr
    assert contents(folder) == before
    if words is not None:
        assert not (tmp_path / "elsewhere").exists()


# ---- files ----------------------------------------------------------------------------------


def large(file: Path) -> None:
    with open(file, "wb") as sparse:
        sparse.truncate(1 << 30)


def instead(file: Path, make: Callable[[Path], object]) -> None:
    file.unlink()
    make(file)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a list": (lambda f: f.write_text("[1, 2]"), "another program's file"),
    "a number": (lambda f: f.write_text("7"), "another program's file"),
    "a million brackets": (lambda f: f.write_text("[" * 1_000_000), "nested beyond any record"),
    "a gigabyte": (large, f"larger than any that a run leaves ({MOST_BYTES >> 20} MiB)"),
    "not a number": (lambda f: f.write_text('{"schema": NaN}'), "it is corrupt"),
    "no text": (lambda f: f.write_bytes(b'{"schema": "\xff"}'), "it is corrupt"),
    "nothing": (lambda f: f.write_bytes(b""), "it is empty"),
    "a pipe": (lambda f: instead(f, os.mkfifo), "it is no file of data"),
    "a device": (
        lambda f: instead(f, lambda f: f.symlink_to("/dev/zero")),
        "it is no file of data",
    ),
    "a folder": (lambda f: instead(f, Path.mkdir), "it is no file of data"),
}


@pytest.mark.parametrize(("make", "words"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_record_is_told_in_a_sentence(
    real: Path, tmp_path: Path, labrun: Labrun, make: Callable[[Path], object], words: str
) -> None:
    folder = from_stranger(real, tmp_path / "theirs", lambda record: None)
    make(folder / RUN_FILE)
    for command in COMMANDS:
        done = labrun(*command)
        assert_harmless(done)
        assert done.returncode == 2
        assert words in done.stderr


ROWS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "words for times": (lambda f: f.assign(response_us="soon"), "response_us"),
    "no level": (lambda f: f.drop(columns="level"), "lacks level"),
    "lists for slots": (lambda f: f.assign(slot=pd.Series([[1]] * len(f))), "slot"),
}


@pytest.mark.parametrize(("change", "words"), ROWS.values(), ids=ROWS)
def test_rows_of_another_kind_are_told_in_a_sentence(
    real: Path,
    tmp_path: Path,
    labrun: Labrun,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
) -> None:
    folder = from_stranger(real, tmp_path / "theirs", lambda record: None)
    file = folder / REQUESTS_FILE
    rows = change(pd.read_parquet(file))
    file.unlink()  # it is a link
    rows.to_parquet(file, index=False)
    done = labrun("report", "theirs")
    assert_harmless(done)
    assert done.returncode == 2
    assert words in done.stderr


def test_no_link_in_a_strangers_folder_leads_out_of_it(
    real: Path, tmp_path: Path, labrun: Labrun
) -> None:
    """What is written there replaces such a link and does not follow it."""
    folder = from_stranger(real, tmp_path / "theirs", lambda record: None)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    names = ["report.html", "report.md", "history.html", "history-2000rps.png"]
    names += ["history-2000rps.svg"]
    for name in names:
        (folder / name).symlink_to(precious)
        (folder / f"{name}.tmp").symlink_to(precious)
    shutil.copytree(folder, tmp_path / "x" / "y", symlinks=True)
    assert labrun("report", "theirs").returncode == 0
    assert labrun("history", "theirs").returncode == 0
    assert precious.read_text() == "mine"
    assert not (folder / "history.html").is_symlink()


def test_the_command_to_repeat_a_report_names_no_other_command(
    real: Path, tmp_path: Path, labrun: Labrun
) -> None:
    folder = from_stranger(real, tmp_path / "theirs", put("id", "x; rm -rf ~"))
    assert labrun("report", "theirs").returncode == 0
    assert "labrun report 'results/x; rm -rf ~'" in (folder / "report.md").read_text("utf-8")
