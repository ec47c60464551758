"""A run's folder that cannot be reported on gets one sentence, exit status 2, and nothing else."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.labrun import Labrun, run_lab

FILES = ("run.json", "requests.parquet", "timeline.parquet")


@pytest.fixture
def labrun(tmp_path: Path) -> Labrun:
    """Run `labrun` with these arguments in an empty folder."""

    return partial(run_lab, tmp_path)


@pytest.fixture
def folder(tmp_path: Path, run_folder: Path) -> Path:
    """A copy of a real run, to be damaged."""
    copy = tmp_path / "results" / "20261124T000000Z-copy"
    copy.mkdir(parents=True)
    for name in FILES:
        shutil.copy(run_folder / name, copy / name)
    return copy


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def cut(file: Path, share: float = 0.5) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])


def other_schema(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text("utf-8"))
    (folder / "run.json").write_text(json.dumps(record | {"schema": 7}), "utf-8")


def other_rows(folder: Path) -> None:
    shutil.copy(folder / "timeline.parquet", folder / "requests.parquet")


DAMAGE: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no record": (lambda f: (f / "run.json").unlink(), ("run.json",)),
    "no rows": (lambda f: (f / "requests.parquet").unlink(), ("has no requests.parquet", "whole")),
    "no steps": (lambda f: (f / "timeline.parquet").unlink(), ("has no timeline.parquet",)),
    "record cut short": (lambda f: cut(f / "run.json"), ("run.json",)),
    "record empty": (lambda f: cut(f / "run.json", 0), ("run.json",)),
    "record corrupt": (lambda f: (f / "run.json").write_bytes(b"\xff\x00{"), ("run.json",)),
    "rows cut short": (lambda f: cut(f / "requests.parquet"), ("requests.parquet", "cut short")),
    "rows empty": (lambda f: cut(f / "requests.parquet", 0), ("requests.parquet", "cut short")),
    "steps corrupt": (
        lambda f: (f / "timeline.parquet").write_bytes(b"PAR1" + bytes(200) + b"PAR1"),
        ("timeline.parquet", "no Parquet file"),
    ),
    "another version": (other_schema, ("schema 7", "this lab reads up to 2")),
    "rows of something else": (other_rows, ("requests.parquet lacks client", "measure again")),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_run_is_told_in_a_sentence(
    labrun: Labrun, folder: Path, damage: Callable[[Path], object], words: tuple[str, ...]
) -> None:
    damage(folder)
    assert_one_sentence(labrun("report", str(folder)), *words)
    assert not list(folder.glob("report.*"))


def test_a_run_that_is_not_there_is_told(labrun: Labrun) -> None:
    assert_one_sentence(labrun("report", "nowhere"), "nowhere")


def test_no_run_at_all_is_told_with_what_to_do(labrun: Labrun) -> None:
    assert_one_sentence(labrun("report"), "no run below results", "labrun compare")


def test_rows_of_another_run_are_told(labrun: Labrun, folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text("utf-8"))
    record["trials"] = record["trials"][:4]
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    assert_one_sentence(labrun("report", str(folder)), "not of one run")


def test_an_open_loop_is_not_taken_for_a_closed_one(labrun: Labrun, folder: Path) -> None:
    done = labrun("report", str(folder), "--closed-loop", str(folder))
    assert_one_sentence(done, "open-loop", "--driver closed-loop")


def test_a_comparison_is_not_taken_for_a_capacity(labrun: Labrun, folder: Path) -> None:
    done = labrun("report", str(folder), "--capacity", str(folder))
    assert_one_sentence(done, "no capacity", "labrun capacity")


def test_a_folder_that_cannot_be_written_is_told(labrun: Labrun, folder: Path) -> None:
    done = labrun("report", str(folder), "--out", "/proc/nowhere")
    assert_one_sentence(done, "cannot write", "--out")


def test_docs_outside_the_project_are_told(labrun: Labrun) -> None:
    assert_one_sentence(labrun("report", "--docs"), "README.md", "project's folder")


def test_the_newest_run_is_the_default(labrun: Labrun, folder: Path) -> None:
    older = folder.with_name("20251124T000000Z-older")
    shutil.copytree(folder, older)
    shutil.copytree(folder, folder.with_name("zz-renamed"))
    done = labrun("report")
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").exists()
    assert (folder / "report.md").exists()
    assert not (older / "report.html").exists()


def test_a_killed_run_is_reported_with_what_it_has(labrun: Labrun, folder: Path) -> None:
    """Killed before its end: rows lie in parts, and nothing is summed up yet."""
    record = json.loads((folder / "run.json").read_text("utf-8"))
    finding = record["finding"]
    record |= {"complete": False, "incomplete_reason": "the run is not over", "cells": [],
               "comparisons": [], "finding": None}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    (folder / ".parts").mkdir()
    for kind in ("requests", "timeline"):
        (folder / f"{kind}.parquet").rename(folder / ".parts" / f"{kind}-0001.parquet")
    done = labrun("report", str(folder))
    assert done.returncode == 0, done.stderr
    page = (folder / "report.html").read_text("utf-8")
    assert "This run is PARTIAL: the run is not over." in page
    assert finding is not None
    assert html.escape(finding) in page
