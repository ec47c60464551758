"""`--python`, `--max-threads` and `--lock-stacks`: what the servers are run with."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.labrun import assert_measured

Labrun = Callable[..., "subprocess.CompletedProcess[str]"]
SHORT = ("--rounds", "1", "--duration", "0.5", "--warmup", "0.1", "--bare")


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter at another path, with the packages of this one."""
    folder = tmp_path_factory.mktemp("other")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lab.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def run(other_python: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The record and the output of a comparison under it, with two threads at most."""
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-P", "-m", "harness.cli", "compare", "--rps", "200", *SHORT]
    done = subprocess.run(
        [*command, "--python", str(other_python), "--max-threads", "2", "--workload", "io:40ms"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    (path,) = (folder / "results").glob("*/run.json")
    return json.loads(path.read_text("utf-8")), done.stdout


def test_the_servers_interpreter_is_in_the_record(
    run: tuple[dict[str, Any], str], other_python: Path
) -> None:
    record, out = run
    assert record["settings"]["python"] == str(other_python)
    told = record["environment"]["server_python"]
    assert told["version"].split()[1] == sys.version.split()[0]
    assert told["gil_enabled"] is getattr(sys, "_is_gil_enabled", lambda: True)()
    assert set(told["packages"]) == {"httptools", "msgspec"}
    assert f"ran under {told['version']}" in " ".join(out.split())


def test_bounded_threads_are_labelled_and_turn_requests_away(
    run: tuple[dict[str, Any], str],
) -> None:
    record, out = run
    assert record["settings"]["max_threads"] == 2
    assert "--max-threads 2: thread-per-request was bounded" in " ".join(out.split())
    (bounded,) = (t for t in record["trials"] if t["backend"] == "thread-per-request")
    client = bounded["client"]
    assert sum(client["outcomes"].values()) == client["scheduled"]
    # 200 a second that wait 40 ms each are 8 at a time by Little's law, and two may be there.
    assert client["outcomes"]["rejected"] > 0 or not bounded["valid"]


def test_what_is_no_python_is_told(labrun: Labrun, tmp_path: Path) -> None:
    assert_one_sentence(labrun("compare", "--python", "/no/such"), "/no/such", "name a Python")
    assert_one_sentence(labrun("compare", "--python", "/bin/cat"), "does not answer", "3.11")
    assert_one_sentence(labrun("compare", "--python", str(tmp_path)), "cannot be run")
    assert_one_sentence(labrun("compare", "--max-threads", "0"), "--max-threads")


def test_a_python_without_the_servers_packages_is_told_what_to_install(
    labrun: Labrun, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    done = labrun("compare", "--python", python)
    assert_one_sentence(done, "no httptools", f"{python} -m pip install httptools msgspec")
    assert list((tmp_path / "results").iterdir()) == []


def without_privilege() -> None:
    """No memory may be locked: neither by limit nor by capability (CAP_IPC_LOCK is 14)."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(24, 14, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot drop CAP_IPC_LOCK")


def test_lock_stacks_without_privilege_is_one_sentence(tmp_path: Path) -> None:
    # Root keeps its capabilities over exec unless the bounding set, which prctl took it from,
    # says otherwise; so this is what a user without the right sees.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli", "compare", "--lock-stacks", *SHORT],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=without_privilege,
    )  # fmt: skip
    assert_one_sentence(done, "--lock-stacks", "ulimit -l")
