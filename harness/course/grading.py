"""A learner's folder, graded: every notebook is executed from the recorded runs, in a process of
its own and in a copy of the folder, and what the checks say of the answers is collected."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Literal

import msgspec

from harness.core.errors import LabError
from harness.course.checks import EXERCISES
from harness.course.files import notebooks_folder, number_of
from harness.course.predictions import FILE, load_predictions

Result = Literal["right", "wrong", "unanswered", "not reached"]
_COPIED = {".ipynb", ".py", ".json", ".toml", ".csv", ".txt"}
_LARGEST_BYTES = 20 << 20  # of a file of the learner's
_MOST_SAID_BYTES = 1 << 20
_LONGEST = 200
_LAST_S = 10.0  # for a process that reports no more


class Graded(msgspec.Struct, frozen=True, kw_only=True):
    """One exercise. `remark`: what the check says of a wrong answer."""

    notebook: str
    exercise: str
    result: Result
    remark: str = ""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A notebook that is missing or broken, or did not run from its first cell to its last."""

    notebook: str
    what: str


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction of the learner's; `right`: null without a result."""

    question: str
    value: float | str
    sure: float | None
    result: float | str | None
    right: bool | None


class Grades(msgspec.Struct, frozen=True, kw_only=True):
    """What `labrun grade --json` writes."""

    schema: int = 1
    folder: str
    right: int
    exercises: list[Graded]
    troubles: list[Trouble]
    predictions: list[Forecast]


def exercises_of(notebook: str) -> list[str]:
    """The exercises of a notebook, by its name."""
    chapter = number_of(Path(notebook))
    return [exercise for exercise in EXERCISES if exercise.partition(".")[0] == chapter]


def grade(folder: Path, limit_s: float, watch: Callable[[str], None]) -> Grades:
    """Grade a learner's folder. `limit_s`: how long a notebook may take; `watch`: is told the name
    of each before it runs. Raises `LabError` for a folder that is none or has no notebook of the
    course."""
    names = [path.name for path in sorted(notebooks_folder().glob("[0-9]*.ipynb"))]
    if not folder.is_dir():
        raise LabError(f"{folder} is no folder; name the one that labrun notebook made")
    if not any((folder / name).is_file() for name in names):
        raise LabError(f"{folder} has none of the course's notebooks, as {names[0]}")
    exercises: list[Graded] = []
    troubles: list[Trouble] = []
    for name in names:
        watch(name)
        told, trouble = _examined(folder, name, limit_s)
        if trouble is not None:
            troubles.append(Trouble(notebook=name, what=trouble))
        for exercise in exercises_of(name):
            result, remark = told.get(exercise, ("not reached", ""))
            exercises.append(Graded(notebook=name, exercise=exercise, result=result, remark=remark))
    predictions, unread = _forecasts(folder)
    if unread is not None:
        troubles.append(Trouble(notebook=FILE, what=unread))
    right = sum(graded.result == "right" for graded in exercises)
    return Grades(folder=folder.name or str(folder), right=right, exercises=exercises,
                  troubles=troubles, predictions=predictions)  # fmt: skip


def _forecasts(folder: Path) -> tuple[list[Forecast], str | None]:
    """The learner's predictions, and why they cannot be read."""
    try:
        kept = load_predictions(folder)
    except LabError as error:
        return [], str(error).replace(f"{folder}/", "")[:_LONGEST]
    made = [
        Forecast(question=question, value=one.value, sure=one.sure, result=one.result,
                 right=one.right(question))
        for question, one in kept.items()
    ]  # fmt: skip
    return made, None


def _examined(
    folder: Path, name: str, limit_s: float
) -> tuple[dict[str, tuple[Result, str]], str | None]:
    """What the checks said last of each exercise of a notebook, and what was wrong with it."""
    path = folder / name
    if not path.is_file():
        return {}, "is missing"
    if path.stat().st_size > _LARGEST_BYTES:
        return {}, "is too large to be a notebook of the course"
    with TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as scratch:
        copy_answers(folder, Path(scratch))
        with _worker(Path(scratch), name) as (process, source):
            said = _Said()
            in_time = said.listen(source, monotonic() + limit_s)
            status = _status(process) if said.cut_off else None
    return said.answers, said.trouble(in_time, status, limit_s)


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """How a process ended that reports no more; None where it has not ended."""
    try:
        return process.wait(timeout=_LAST_S)
    except subprocess.TimeoutExpired:
        return None


def copy_answers(folder: Path, target: Path) -> None:
    """Copy what a learner has written, so that it stays as it is."""
    for file in sorted(folder.iterdir()):
        wanted = file.suffix in _COPIED and file.is_file()
        if wanted and file.stat().st_size <= _LARGEST_BYTES:
            shutil.copyfile(file, target / file.name)


@contextmanager
def _worker(folder: Path, name: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process that runs a notebook, and the descriptor that it reports to; at the end neither
    it nor what it started is left."""
    source, target = os.pipe()
    own = {"LAB_OFFLINE": "1", "LAB_RECORD": "", "LAB_UNFOLDED": "1", "MPLBACKEND": "agg",
           "IPYTHONDIR": str(folder / ".ipython")}  # fmt: skip
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.course.grade_worker", name, str(target)],
            cwd=folder, env=os.environ | own, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=[target], start_new_session=True,
        )  # fmt: skip
        os.close(target)
        try:
            yield process, source
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    finally:
        os.close(source)


class _Said:
    """What a worker has reported."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[Result, str]] = {}
        self._errors: list[tuple[int, str]] = []
        self._cell = 0
        self._broken: str | None = None
        self._ended = self._flooded = False
        self.cut_off = False  # whether it reports no more, without a word

    def listen(self, source: int, until: float) -> bool:
        """Read until the worker ends; whether that was in time."""
        rest, total = b"", 0
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            while not self._ended and self._broken is None:
                if not selector.select(max(0.0, until - monotonic())):
                    return False
                data = os.read(source, 1 << 16)
                total += len(data)
                self._flooded = total > _MOST_SAID_BYTES
                self.cut_off = not data
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line)
                    if self._flooded:  # what came after it is nobody's word
                        break
                if self.cut_off or self._flooded:
                    break
        return True

    def _take(self, line: bytes) -> None:
        try:
            what: Any = msgspec.json.decode(line)
            if "exercise" in what:
                self.answers[str(what["exercise"])] = (
                    msgspec.convert(what["result"], Result), str(what["remark"]),
                )  # fmt: skip
            self._cell = int(what.get("cell", self._cell))
            if "error" in what:
                self._errors.append((self._cell, str(what["error"])))
            self._broken = what.get("broken", self._broken)
            self._ended = self._ended or bool(what.get("end"))
        except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError):
            self._flooded = True  # a cell has written to the descriptor

    def trouble(self, in_time: bool, status: int | None, limit_s: float) -> str | None:
        """What was wrong, as a sentence without its subject; None: nothing."""
        if self._broken is not None:
            return f"is no notebook that can be read ({_line(self._broken)})"
        if not in_time:
            return f"was stopped in its code cell {self._cell}, after {limit_s:g} s"
        if self._flooded:
            return f"meddled with its grading in its code cell {self._cell}"
        if not self._ended:
            return f"ended its own process in its code cell {self._cell} ({_ending(status)})"
        if not self._errors:
            return None
        cell, error = self._errors[0]
        others = f", and {len(self._errors) - 1} cells more" if len(self._errors) > 1 else ""
        return f"failed in its code cell {cell} ({_line(error)}){others}"


def _ending(status: int | None) -> str:
    if status is None:
        return "or only what it reports to"
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"


def _line(text: str) -> str:
    """A text on one line, and not too long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]}…"
