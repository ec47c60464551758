"""The hammer on what threads share: bounded here, a million by `python -m benchmarks.hammer`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import hammer
from servers.connection import Connection
from servers.telemetry import Recorder, Telemetry
from servers.thread_pool import WorkQueue

ROOT = Path(__file__).parents[2]
REQUESTS = 4_000


@pytest.fixture(autouse=True)
def a_turn_each_microsecond() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(hammer.SWITCH_INTERVAL_S)
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)
    sys.setswitchinterval(before)


@pytest.mark.parametrize("part", hammer.PARTS)
def test_every_account_is_exact_under_16_threads(part: str) -> None:
    accounts = hammer.PARTS[part](REQUESTS)
    assert [account for account in accounts if not account.exact] == []


def test_a_queue_that_loses_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lossy(WorkQueue):
        def put(self, connection: Connection) -> bool:
            return connection.address == "7" or super().put(connection)

    monkeypatch.setattr(hammer, "WorkQueue", Lossy)
    wrong = [account for account in hammer.work_queue(REQUESTS) if not account.exact]
    assert [account.what for account in wrong] == ["taken and refused"]


def test_a_recorder_that_two_hold_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shared(Telemetry):
        def lend(self) -> Recorder:
            if not self._all:
                return super().lend()
            return self._all[0]

    monkeypatch.setattr(hammer, "Telemetry", Shared)
    wrong = [account.what for account in hammer.recorders(REQUESTS) if not account.exact]
    assert "recorders, each free once" in wrong


def test_it_says_with_which_python_and_needs_no_harness() -> None:
    # As a bare interpreter has it: the folder, and the two packages that the servers import.
    code = (
        "import sys, runpy; sys.modules['harness'] = None; sys.argv[1:] = ['--requests', '1000'];"
        "runpy.run_module('benchmarks.hammer', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300,
        check=False, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Python {sys.version.split()[0]}, with")
    assert done.stdout.rstrip().splitlines()[-1].startswith("Every account is exact, with")


@pytest.mark.parametrize("typed", [("--requests", "5"), ("--switch-interval", "0")])
def test_what_cannot_be_hammered_is_said(typed: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hammer", *typed], cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{typed[0]} must be from" in done.stderr.splitlines()[-1]
