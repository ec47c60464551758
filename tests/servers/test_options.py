"""The command line of a server: what it takes, and how it says no."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from servers.options import MIB, Workload, parse_cpus, parse_options, parse_size, parse_workload


@pytest.mark.parametrize(
    ("text", "size"),
    [("65536", 65_536), ("512KiB", 524_288), ("2MiB", 2 * MIB), ("2 mib", 2 * MIB), ("1G", 2**30)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


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
