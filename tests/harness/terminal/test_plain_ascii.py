"""16g: with LC_ALL=C and UTF-8 mode off every command writes plain ASCII, and none ends in a
traceback. A measured run used to end in UnicodeEncodeError with nothing on standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.text import visible
from harness.studies.regress.exports import FORMATS
from harness.terminal.output import shown
from tests.support.changed_runs import changed, saved
from tests.support.labrun import run_lab
from tests.support.reference import reference_level, write_reference_level

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "80"}
QUICK = ("--rps", "200", "--rounds", "1", "--duration", "0.5", "--warmup", "0.1")


def in_ascii(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit status, and what was said on both streams, which can hold ASCII alone."""
    done = run_lab(folder, *arguments, encoding="ascii")
    return done.returncode, done.stdout, done.stderr


def in_locale_c(folder: Path, *arguments: str | bytes) -> tuple[int, str, str]:
    """The same in a process of its own, under that locale."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli", *arguments],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "LANG"} | PLAIN,
        capture_output=True,
        timeout=240,
        check=False,
    )
    out, err = done.stdout.decode("ascii"), done.stderr.decode("ascii")
    assert "Traceback" not in err
    return done.returncode, out, err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs: `one`, whole, and the record of `two`."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "one").mkdir()
    write_reference_level(folder / "one")
    saved(changed(reference_level(), "two"), folder / "two")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "one"),
        ("claims", "one"),
        ("history", ".", "--out", "graphs"),
        ("regress", "one", "two"),
        *(("export", "one", "--format", form) for form in FORMATS),
        *(("regress", "one", "two", "--format", form) for form in ("markdown", "junit", "csv")),
        ("backends",),
        ("compare", "--help"),
    ],
    ids=" ".join,
)
def test_what_reads_says_it_in_ascii(runs: Path, arguments: tuple[str, ...]) -> None:
    status, out, err = in_ascii(runs, *arguments)
    assert status == 0, err
    assert out
    assert "\\x" not in out  # every letter of the lab's own has one of ASCII's


def test_times_ratios_and_tables_have_letters_of_ascii(runs: Path) -> None:
    _, out, _ = in_ascii(runs, "claims", "one")
    assert " us" in out
    assert "-+-" in out
    _, out, _ = in_ascii(runs, "export", "one")
    assert "x the CPU per request" in out
    status, out, _ = in_ascii(runs, "anatomy", "one")
    assert status == 0
    assert "#" in out


def test_json_is_the_same_in_ascii(runs: Path) -> None:
    _, out, _ = in_ascii(runs, "claims", "one", "--json", "-")
    assert "\\u00b5s" in out
    assert "µs" in json.dumps(json.loads(out), ensure_ascii=False)


@pytest.mark.slow
def test_a_measured_run_ends_with_its_table(tmp_path: Path) -> None:
    name = "é".encode()
    status, out, err = in_locale_c(
        tmp_path, "compare", *QUICK, "--plot", "--out", name, "--name", name
    )
    assert status in (0, 1), err  # 1: the machine was too busy for anything to be compared
    assert "Latency, median" in out
    assert "Record, raw rows and charts: \\xe9/" in out
    (run,) = (tmp_path / "é").iterdir()
    assert {file.name for file in run.iterdir()} >= {"requests.parquet", "report.html"}
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert record["command"].endswith("--plot --out 'é' --name 'é'")
    assert in_locale_c(tmp_path, "report", run.relative_to(tmp_path).as_posix().encode())[0] == 0


def test_a_folder_that_is_no_text_is_named_all_the_same(tmp_path: Path) -> None:
    status, out, err = in_locale_c(tmp_path, "report", b"no\xfftext")
    assert (status, out) == (2, "")
    assert err.startswith("labrun: cannot read no\\udcfftext: there is no such folder")


def test_what_a_terminal_would_obey_is_shown_instead() -> None:
    assert visible("a\x1b[31m\u202eb\n\tc") == "a\\x1b[31m\\u202eb\n\tc"
    assert visible("two\nlines", keep="") == "two\\nlines"
    assert shown("\udcc3\udca9 µ×") == "é µ×"


def test_brackets_are_no_colours(tmp_path: Path) -> None:
    (tmp_path / "[red]results[" / "]").mkdir(parents=True)
    write_reference_level(tmp_path / "[red]results[/]")
    status, out, err = in_ascii(tmp_path, "report", "[red]results[/]")
    assert status == 0, err
    assert "[red]results[/]/report.html" in out
