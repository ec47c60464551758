"""The demonstration of a Python without the GIL: what it prints, and what it will not claim."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.free_threaded import ran_without_gil, run, table, two_for_the_server
from tests.support.pythons import FREE_THREADED, another_python

ROOT = Path(__file__).parents[2]
two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU")


@two_cpus
@pytest.mark.parametrize(("on", "off"), [("False", True), ("'msgspec' in sys.modules", False)])
def test_each_python_has_its_columns_and_the_servers_say_whether_the_gil_was_off(
    tmp_path: Path, on: str, off: bool
) -> None:
    # No such build is at hand: this one only says that it is one.
    python = another_python(tmp_path / "other", FREE_THREADED.format(on=on))
    interpreter, found = run(python, rates=(50.0,), duration_s=0.5)
    assert ran_without_gil(found["other"]) is off
    assert interpreter.gil_enabled_by == (None if off else "msgspec")
    (line,) = table(found)
    assert (line[0], len(line)) == ("50", 7)


@two_cpus
def test_the_server_has_two_cpus() -> None:
    assert len(two_for_the_server().server) == 2


def test_what_cannot_be_run_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.free_threaded", "--python", "/no/such/python"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.strip().splitlines()
    assert "/no/such/python cannot be run" in line
