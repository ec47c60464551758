"""An interrupt ends the program, wherever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, time
from harness.terminal.interrupts import hear_interrupts

class Interrupted:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        sum(range(10))
        print("not interrupted", flush=True)

hear_interrupts()
try:
    Interrupted()
    time.sleep(240)
except KeyboardInterrupt:
    print("told", flush=True)
"""
BROKEN = """
from harness.terminal.interrupts import hear_interrupts

class Broken:
    def __del__(self):
        raise ValueError("a fault of ours")

hear_interrupts()
Broken()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_comes_in_a_finalizer_is_raised_after_it(number: signal.Signals) -> None:
    """Python drops an exception there; a worker whose Ctrl-C was dropped went on for a minute."""
    command = [sys.executable, "-c", SCRIPT, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "told\n", "")


def test_what_else_is_dropped_is_told_as_ever() -> None:
    command = [sys.executable, "-c", BROKEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert "ValueError: a fault of ours" in done.stderr
