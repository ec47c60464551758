"""The command line of a server: what it takes, and how it says no."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from servers.options import (
    DEFAULTS,
    MIB,
    OPTIONS,
    Workload,
    arguments_of,
    parse_cpus,
    parse_options,
    parse_size,
    parse_workload,
    plain,
    reported,
    size_text,
)
from servers.restart import CannotRestart, read_restart


@pytest.mark.parametrize(
    ("text", "size"),
    [("65536", 65_536), ("512KiB", 524_288), ("2MiB", 2 * MIB), ("2 mib", 2 * MIB), ("1G", 2**30)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(size_text(size)) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5MiB", "2TiB", "two"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


def test_workloads_are_written_as_they_are_read() -> None:
    for text in ("ingest", "io:40ms", "cpu:2ms", "io:0.5ms"):
        assert str(parse_workload(text)) == text
    assert parse_workload("cpu:500us") == Workload("cpu", 0.0005)
    assert parse_cpus("0,2-3") == {0, 2, 3}


def test_the_defaults_are_those_of_the_contract() -> None:
    options = parse_options(["thread-pool"], "test")
    assert (options.host, options.port, options.workers) == ("127.0.0.1", 8080, 16)
    assert (options.queue_size, options.stack_size_bytes) == (10_000, 2 * MIB)
    assert (options.backlog, options.rate_limit_per_s) == (4096, 1000)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "servers", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "backend"),
        (["thread-poll"], "did you mean thread-pool"),
        (["json:JSONDecoder"], "no subclass of servers.backend.Backend"),
        (["no.such:Thing"], "cannot be loaded"),
        (["thread-pool", "--port", "70000"], "from 0 to 65535: '70000'"),
        (["thread-pool", "--port", "x"], "from 0 to 65535: 'x'"),
        (["thread-pool", "--workers", "0"], "--workers must be a whole number from 1"),
        (["thread-pool", "--queue-size", "-1"], "--queue-size"),
        (["thread-pool", "--stack-size", "1KiB"], "from 32KiB to 1GiB"),
        (["thread-pool", "--workload", "cpu"], "io:40ms"),
        (["thread-pool", "--cpus", "zero"], "is no list of CPUs"),
        (["thread-pool", "--port", "0", "--cpus", "4000"], "is not possible"),
        (["thread-pool", "--host", "no.such.host.invalid", "--port", "0"], "cannot listen on"),
        (["thread-pool", "--nonsense"], "--nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_usage_is_one_sentence_and_status_2(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("thread-pool", "--port", port)
    assert done.returncode == 2
    assert f"port {port}: Address already in use" in done.stderr


# A value of each option that a run may choose, other than its default.
OTHERS = {
    "workers": 3, "queue_size": 7, "stack_size_bytes": 512 << 10, "backlog": 9,
    "rate_limit_per_s": 0, "request_deadline_s": 2.5, "max_threads": 4, "workload": "io:40ms",
    "switch_interval_s": 0.001, "lock_stacks": True, "queue_policy": "lifo", "patience_s": 0.25,
    "connections": "keep-alive", "idle_deadline_s": 7.5,
    "trace": 12, "processes": 3, "listener": "reuseport",
}  # fmt: skip


def test_the_list_of_options_has_each_with_its_default() -> None:
    done = run("--options")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    assert {option["name"]: option["default"] for option in listed} == {
        option.flag: plain(DEFAULTS[name]) for name, option in OPTIONS.items()
    }
    chosen = {option["name"] for option in listed if option["choosable"]}
    assert chosen == {OPTIONS[name].flag for name in OTHERS}
    help_text = run("--help").stdout
    assert all(option["name"] in help_text for option in listed if option["name"] != "--supervised")


def test_what_a_run_chooses_is_taken_reported_and_may_be_asked_of_the_control_port() -> None:
    argv = arguments_of(OTHERS)
    assert reported(parse_options(["thread-pool", *argv], "test")) == OTHERS
    order = {"backend": "thread-pool", "arguments": argv}
    assert read_restart(json.dumps(order).encode(), "thread-pool").arguments == argv


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if not option.chosen])
def test_what_is_its_machines_own_is_neither_reported_nor_for_the_control_port(name: str) -> None:
    assert name not in reported(parse_options(["thread-pool"], "test"))
    order = {"backend": "thread-pool", "arguments": [f"{OPTIONS[name].flag}=1"]}
    with pytest.raises(CannotRestart, match="not for the control port to choose"):
        read_restart(json.dumps(order).encode(), "thread-pool")


def test_what_is_not_asked_for_is_no_argument() -> None:
    assert arguments_of({"max_threads": None, "lock_stacks": False, "cpus": frozenset({2, 0})}) == [
        "--cpus=0,2"
    ]


@pytest.mark.parametrize("name", ["thread-pool", "native-thread-pool"])
def test_a_parent_is_watched_by_a_pipe_and_not_by_a_file(name: str) -> None:
    """With /dev/null it was a traceback."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "servers", name, "--port=0", "--exit-with-parent"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--exit-with-parent waits for the end of standard input" in done.stderr
    assert len(done.stderr.splitlines()) == 1
