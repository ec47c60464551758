"""Bad input gets one sentence on standard error, exit status 2, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Labrun = Callable[..., "subprocess.CompletedProcess[str]"]


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rps", "0"], ["--rps", "above 0"]),
        (["--rps", "-5"], ["--rps", "'-5' is no rate"]),
        (["--rps", "abc"], ["'abc' is no rate", "500,2000"]),
        (["--rps", "2000,"], ["'' is no rate"]),
        (["--rps", "nan"], ["is no rate"]),
        (["--rps", "inf"], ["at most 100,000"]),
        (["--rps", "1000000"], ["at most 100,000 requests a second"]),
        (["--rps", "2000,2000"], ["twice"]),
        (["--rps", "50000", "--duration", "3600"], ["a trial holds at most 5,000,000"]),
        (["--backends", "thread-pol"], ["'thread-pol'", "did you mean thread-pool"]),
        (["--backends", "no.such.module:Class"], ["cannot be loaded"]),
        (["--backends", "servers.options:ServerOptions"], ["no subclass of"]),
        (["--rounds", "0"], ["--rounds", "1"]),
        (["--rounds", "x"], ["--rounds", "valid integer"]),
        (["--duration", "0.1"], ["--duration", "0.5"]),
        (["--duration", "nan"], ["--duration"]),
        (["--timeout", "0"], ["--timeout"]),
        (["--clients", "0"], ["--clients"]),
        (["--arrivals", "burst"], ["--arrivals", "poisson or constant"]),
        (["--driver", "ab"], ["--driver", "open-loop or closed-loop or locust"]),
        (["--workload", "io:soon"], ["--workload", "io:40ms"]),
        (["--workload", "io:9s"], ["at most 4 s"]),
        (["--stack-size", "7"], ["--stack-size", "32KiB"]),
        (["--workers", "0"], ["--workers"]),
        (["--connections", "kept"], ["--connections", "per-request, keep-alive"]),
        (["--connections", "keep-alive", "--driver", "locust"], ["--connections", "leave one out"]),
        (
            ["--connections", "keep-alive", "--backends", "native-thread-pool"],
            ["native-thread-pool closes each connection", "take a backend in Python"],
        ),
        (["--slow-clients", "-1"], ["--slow-clients", "0"]),
        (["--idle-connections", "10001"], ["--idle-connections", "from 0 to 10000"]),
        (["--arm", "a=thread-pool --connections keep-alive"], ["--arm a", "give it to labrun"]),
        (["--out", "/proc/nowhere"], ["cannot write", "--out"]),
        (["--json", "/nowhere/run.json"], ["--json", "/nowhere/run.json"]),
        (["--no-such-option"], ["--no-such-option", "--help"]),
        (["stray"], ["stray"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_compare_refuses_what_cannot_be(
    labrun: Labrun, arguments: list[str], words: list[str]
) -> None:
    assert_one_sentence(labrun("compare", *arguments), *words)


def test_a_folder_that_is_a_file_cannot_hold_runs(labrun: Labrun, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert_one_sentence(labrun("compare", "--out", "taken"), "cannot write taken", "--out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_cannot_hold_runs(labrun: Labrun, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert_one_sentence(labrun("compare", "--out", "locked"), "cannot write locked")


def test_too_few_descriptors_are_told_with_the_limit(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("compare", limit_files=200)
    assert_one_sentence(done, "only 200 file descriptors", "ulimit")
    assert list((tmp_path / "results").iterdir()) == []


def test_more_bystanders_than_descriptors_are_told_with_the_limit(labrun: Labrun) -> None:
    done = labrun("compare", "--slow-clients", "50", "--idle-connections", "900", limit_files=1024)
    assert_one_sentence(
        done, "--slow-clients 50 and --idle-connections 900", "1,024 are allowed", "take 724 or",
        "ulimit -Hn 1250",
    )  # fmt: skip


def test_serve_names_the_port_that_is_taken(labrun: Labrun) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_sentence(labrun("serve", "thread-pool", "--port", port), port, "in use")


def test_an_unknown_command_is_one_sentence(labrun: Labrun) -> None:
    assert_one_sentence(labrun("compair"), "compair")


def test_another_operating_system_is_told_what_is_needed(labrun: Labrun) -> None:
    # The platform is the one thing here that cannot be had for real.
    script = "import sys; sys.platform = 'darwin'; from harness.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert_one_sentence(done, "Linux or WSL2", "epoll")


def test_version_and_help_go_to_standard_output(labrun: Labrun) -> None:
    for arguments in (["--version"], ["--help"], ["compare", "--help"], ["serve", "--help"]):
        done = labrun(*arguments)
        assert done.returncode == 0
        assert done.stderr == ""
        assert done.stdout
    assert "example: labrun compare" in labrun("compare", "--help").stdout
