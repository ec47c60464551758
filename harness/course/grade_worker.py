"""Executes a learner's notebook for `harness.course.grading`, in a process of its own:
`python -P -m harness.course.grade_worker NOTEBOOK DESCRIPTOR`.

The cells run one after the other, also after one that failed. What the checks say of the answers is
written to the descriptor, a line of JSON each; whatever else the cells write goes where standard
output goes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

_MOST_MEMORY_BYTES = 8 << 30
_MOST_FILE_BYTES = 100 << 20
_LONGEST = 400  # letters of what is said of an answer


class _Cell(msgspec.Struct):
    cell_type: str
    source: str | list[str] = ""


class _Notebook(msgspec.Struct):
    """What is needed of one. Importing the library that knows all about them takes a second."""

    nbformat: Literal[4]
    cells: list[_Cell]


def code_of(path: Path) -> list[str]:
    """The sources of a notebook's code cells. Raises whatever a stranger's file may cause."""
    notebook = msgspec.json.decode(path.read_bytes(), type=_Notebook)
    return ["".join(cell.source) for cell in notebook.cells if cell.cell_type == "code"]


class Reporter:
    """Writes what happens to whoever grades."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # a process that a cell starts must not hold it
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)

    def say(self, **what: Any) -> None:
        """One line."""
        self._stream.write(json.dumps(what) + "\n")


def answers_to(reporter: Reporter) -> None:
    """Have every `check` from now on report what it says. The lab from Python, which has it from
    there, must not have been imported yet."""
    from harness.course import checks

    real = checks.check

    def check(number: str, answer: Any, *evidence: Any) -> bool:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                right = real(number, answer, *evidence)
        except Exception as error:  # of an answer that is of no kind that the check knows
            right = False
            said.write(f"not yet. The check cannot read it ({type(error).__name__}: {error}).")
        text = said.getvalue().strip()
        print(text)
        result = "right" if right else "unanswered" if "no answer yet" in text else "wrong"
        remark = text.partition("not yet. ")[2] if result == "wrong" else ""
        reporter.say(exercise=str(number), result=result, remark=remark[:_LONGEST])
        return right

    checks.check = check


def run(path: Path, reporter: Reporter) -> None:
    """Run the notebook's cells in IPython, as a kernel would."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    try:
        cells = code_of(path)
    except Exception as error:  # whatever a stranger's file may hold
        reporter.say(broken=f"{type(error).__name__}: {error}"[:_LONGEST])
        return
    answers_to(reporter)
    sys.path.insert(0, "")  # files beside the notebook, as in Jupyter
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    for place, source in enumerate(cells, start=1):
        reporter.say(cell=place)
        done = shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call]
        failure = done.error_before_exec or done.error_in_exec
        if failure is not None:
            reporter.say(error=f"{type(failure).__name__}: {failure}"[:_LONGEST])
    reporter.say(end=True)


def main() -> None:
    """Run it within limits, and leave without waiting for the threads that a cell left behind."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_FILE_BYTES, _MOST_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    run(Path(sys.argv[1]), Reporter(int(sys.argv[2])))
    os._exit(0)


if __name__ == "__main__":
    main()
