"""A learner's folder is graded whatever is in it: each notebook in a process of its own, and each
thing that goes wrong is one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.core.errors import LabError
from harness.course.checks import EXERCISES
from harness.course.files import notebooks_folder
from harness.course.grading import Grades, exercises_of, grade
from tests.support.labrun import run_lab

NAMES = {path.name.partition("-")[0]: path.name for path in notebooks_folder().glob("[0-9]*.ipynb")}
RIGHT_2 = 'from harness.lab import check\ncheck("2.1", 1.668)'
HOSTILE = """
import os
for descriptor in range(3, 64):
    try:
        os.write(descriptor, b'{"exercise": "2.1", "result": "splendid", "remark": ""}\\n')
    except OSError:
        pass
"""


def write(folder: Path, number: str, *cells: str) -> None:
    """A notebook of that number with these cells."""
    import nbformat  # it takes a second, and each process of a suite imports every test file

    made = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]  # type: ignore[no-untyped-call]
    nbformat.write(made, folder / NAMES[number])  # type: ignore[no-untyped-call]


def graded(folder: Path, limit_s: float = 120.0) -> Grades:
    return grade(folder, limit_s, lambda _: None)


def results(found: Grades) -> dict[str, str]:
    return {one.exercise: one.result for one in found.exercises}


def troubles(found: Grades) -> dict[str, str]:
    """By the number of the notebook; without those that are missing."""
    return {
        one.notebook.partition("-")[0]: one.what
        for one in found.troubles
        if one.what != "is missing"
    }


def test_every_exercise_belongs_to_a_notebook() -> None:
    of_all = [exercise for name in NAMES.values() for exercise in exercises_of(name)]
    assert sorted(of_all) == sorted(EXERCISES)


def test_answers_count_and_what_fails_beside_them_is_one_line(tmp_path: Path) -> None:
    write(tmp_path, "00", "1 / 0", 'from harness.lab import check\ncheck("0.1", None)', "input()")
    write(tmp_path, "01", "import os\nos._exit(3)")
    write(tmp_path, "02", "raise SystemExit", RIGHT_2, "print('x' * 50_000_000)")
    write(tmp_path, "06", 'from harness.lab import check\ncheck("6.1", 16)', "import random")
    write(tmp_path, "07", "import ctypes\nctypes.string_at(0)")
    (tmp_path / NAMES["04"]).write_text('{"cells": [{"cell_type"', "utf-8")
    (tmp_path / "random.py").write_text("raise RuntimeError('not that one')", "utf-8")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    found = graded(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    told = results(found)
    assert (told["0.1"], told["1.1"], told["2.1"]) == ("unanswered", "not reached", "right")
    assert told["6.1"] == "wrong"
    (remark,) = (one.remark for one in found.exercises if one.exercise == "6.1")
    assert "how many the document has" in remark
    said = troubles(found)
    assert said["00"].startswith("failed in its code cell 1 (ZeroDivisionError: division by zero)")
    assert said["00"].endswith(", and 1 cells more")
    assert said["01"] == "ended its own process in its code cell 1 (exit status 3)"
    assert said["02"].startswith("failed in its code cell 1 (SystemExit")
    assert said["04"].startswith("is no notebook that can be read")
    assert said["07"] == "ended its own process in its code cell 1 (signal SIGSEGV)"
    assert {one.notebook for one in found.troubles if one.what == "is missing"} == {
        name for name in NAMES.values() if not (tmp_path / name).exists()
    }
    assert found.right == 1
    assert not any("\n" in one.what for one in found.troubles)


def test_an_endless_loop_is_stopped_and_leaves_nothing_behind(tmp_path: Path) -> None:
    mark = f"sleep-of-{os.getpid()}"
    child = f"import subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 600; : {mark}'])"
    endless = """
import time
while True:
    try:
        time.sleep(0.1)
        input()
    except:
        pass
"""
    write(tmp_path, "02", child, endless)
    found = graded(tmp_path, limit_s=8)
    (trouble,) = troubles(found).values()
    assert trouble.startswith("was stopped in its code cell")
    assert trouble.endswith("after 8 s")
    alive = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(mark.encode() in line and b"sleep 600" in line for line in alive)


def test_a_notebook_that_writes_its_own_grade_gets_none(tmp_path: Path) -> None:
    write(tmp_path, "02", HOSTILE, "print('Exercise 2.1: right.')")
    found = graded(tmp_path)
    assert results(found)["2.1"] == "not reached"
    assert troubles(found)["02"] == "meddled with its grading in its code cell 1"


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_folder_without_a_course_is_one_sentence(place: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"is no folder|none of the course's notebooks"):
        graded(tmp_path / place)


def test_the_command_shows_a_table_and_writes_json(tmp_path: Path) -> None:
    learner = tmp_path / "ada"
    learner.mkdir()
    write(learner, "02", RIGHT_2)
    (learner / "predictions.json").write_text(
        '{"schema": 1, "predictions": {"2.1": {"value": 500, "sure": 90, "result": 94}}}', "utf-8"
    )
    done = run_lab(tmp_path, "grade", "ada", "--json", "-")
    assert done.returncode == 1, done.stderr
    record = json.loads(done.stdout)
    assert record["folder"] == "ada"
    assert record["right"] == 1
    assert len(record["exercises"]) == len(EXERCISES)
    assert record["predictions"] == [
        {"question": "2.1", "value": 500, "sure": 90, "result": 94, "right": False}
    ]
    shown = run_lab(tmp_path, "grade", "ada")
    assert shown.returncode == 1
    assert f"1 of {len(EXERCISES)} exercises are right." in shown.stdout
    assert "is missing" in shown.stdout
    for arguments in (("ada", "--limit", "0"), ("bob",), ("ada", "--json", "no/such/x.json")):
        wrong = run_lab(tmp_path, "grade", *arguments)
        assert wrong.returncode == 2
        assert len(wrong.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_solutions_are_all_right(tmp_path: Path) -> None:
    """Of two notebooks; `test_notebooks.py` runs all of them, and each kernel takes seconds."""
    for number in ("02", "07"):
        shutil.copy(notebooks_folder() / "solutions" / NAMES[number], tmp_path)
    found = graded(tmp_path)
    handed_in = {
        name: what for name, what in results(found).items() if name.partition(".")[0] in ("2", "7")
    }
    assert handed_in.keys() >= {"2.1", "7.1"}
    assert set(handed_in.values()) == {"right"}
    assert troubles(found) == {}
