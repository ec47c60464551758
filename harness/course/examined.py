"""Exercises whose answer is a file: it is examined in a process of its own, with a time limit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.course.examination import NOTHING_FOUND
from harness.course.gaps import unwritten

LIMIT_S = 150.0  # an examination takes ten seconds, on a machine that does nothing else


def examined(
    module: str, name: str, exam: str, parts: Sequence[str], needs: Sequence[str] = ()
) -> Callable[[Any], bool | str | None]:
    """An exercise that is right when the examiner `harness.course.MODULE` finds no fault in what
    has that name in a file. `parts` are the functions to be written, and `needs` those of earlier
    parts: None, no answer yet, as long as all parts are empty."""

    def right(answer: Any) -> bool | str | None:
        file, named = file_of(answer)
        if file is None:
            return "It is examined in a file of its own: give the name of the file."
        if not file.is_file():
            return f"There is no file {answer} here: labrun notebook puts it beside the notebooks."
        empty = unwritten(file, parts)
        if empty and len(empty) == len(parts):
            return None
        missing = empty + unwritten(file, needs)
        if missing:
            return f"{missing[0]} of {file.name} is still empty."
        return _verdict(module, file, named or name, exam)

    return right


def file_of(answer: Any) -> tuple[Path | None, str | None]:
    """The file of an answer, which is its name or a class that was imported from it; and the name
    of the class."""
    if isinstance(answer, str | Path):
        return Path(answer), None
    module, name = (
        sys.modules.get(getattr(answer, "__module__", "")),
        str(getattr(answer, "__name__", "")),
    )
    file = getattr(module, "__file__", None)
    if file is None or not hasattr(module, name):
        return None, None
    return Path(file), name


def pool_to_measure(file: str = "my_pool.py") -> str:
    """The backend of a pool's file, for `compare`. As long as the pool has a fault it is said, and
    the lab's own solution takes its place. Offline nothing is tried: the recorded run is read."""
    module = Path(file).stem
    if os.environ.get("LAB_OFFLINE", "") in ("", "0"):
        empty = unwritten(Path(file), [f"BoundedQueue.{name}" for name in ("put", "get", "close")])
        fault = _verdict("pool_examiner", Path(file), "Pool", "whole") if not empty else empty[0]
        if fault is not True:
            print(f"{file} is not finished, so the pool of the solutions is measured in its place.")
            return "harness.course.solved_pool:Backend"
    return f"{module}:Backend"


def _verdict(module: str, file: Path, name: str, exam: str) -> bool | str:
    """True, or the fault as a sentence."""
    command = [sys.executable, "-P", "-m", f"harness.course.{module}", str(file), name, exam]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (
            f"It does not come to an end, and was stopped after {LIMIT_S:.0f} s: is there a loop "
            f"in {file.name} that never ends?"
        )
    fault = done.stdout.strip()
    if done.returncode == 0 and fault == NOTHING_FOUND:
        return True
    if not fault:  # the code has ended the process that tried it
        return f"The process that tried {file.name} ended before it could say anything."
    if not re.match(r"\w+\(", fault):  # the name of a function is written as it is
        fault = f"{fault[0].upper()}{fault[1:]}"
    return fault + ("" if fault[-1] in ".?!" else ".")
