"""Commands that are no good server: each is refused in one sentence, and nothing is left."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.drivers.open_loop.driver import target_config
from harness.drivers.payloads import THE_METRIC
from harness.machine.cpus import plan_cpus
from harness.measure.first_request import look_at_one
from harness.session.settings import CompareOptions, make_settings
from harness.targets.arm import arms_of
from harness.targets.outside import OutsideServer, start_outside
from tests.support import any_server

COMMAND = f"{sys.executable} {any_server.__file__}"


def settings_of(behaviour: str, port: str = " {port}", **typed: Any) -> Settings:
    return make_settings(
        CompareOptions(backends="", server=[f"odd={COMMAND} {behaviour}{port}"], **typed)
    )


@contextmanager
def started(settings: Settings, logs: Path) -> Iterator[OutsideServer]:
    (arm,) = arms_of(settings)
    with start_outside(arm, settings, plan_cpus(), logs) as server:
        yield server


def looked_at(settings: Settings, logs: Path) -> None:
    """Start it, and look at its answer to one request."""
    with started(settings, logs) as server:
        request = target_config(server.host, server.port, settings).requests[0]
        look_at_one(server, request.encode("latin-1"), settings.request or THE_METRIC)


def refusal(settings: Settings, logs: Path) -> str:
    with pytest.raises(LabError) as caught:
        looked_at(settings, logs)
    said = str(caught.value)
    assert "\n" not in said
    assert "\x1b" not in said
    children = psutil.Process().children(recursive=True)
    left = [child for child in children if any_server.__file__ in child.cmdline()]
    assert left == []
    return said


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("exits", ["server odd ended before it listened (exit status 1)", "no database at"]),
        ("not-found", ["answers 404 to POST /metrics", "--request 'GET /'"]),
        ("fine", ["answers 200", "202 is expected", "--expect 200"]),
        ("redirects", ["redirects POST /metrics to /v2/metrics (301)", "--request"]),
        ("tls", ["speaks TLS", "without"]),
        ("http2", ["speaks HTTP/2 alone"]),
        ("silent", ["closed the connection without an answer"]),
        ("resets", ["closed the connection without an answer"]),
        ("babbles", ["no whole HTTP response", "hello"]),
    ],
)
def test_what_is_no_server_for_this_request_is_told(
    tmp_path: Path, behaviour: str, words: list[str]
) -> None:
    said = refusal(settings_of(behaviour), tmp_path / "logs")
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("never-listens", ["did not listen on port", "within 0.5 s", "loading", "{port}"]),
        ("elsewhere", ["listens on port", "and not on the one that it was given", "PORT"]),
    ],
)
def test_one_that_does_not_listen_where_it_should_is_told(
    tmp_path: Path, behaviour: str, words: list[str]
) -> None:
    said = refusal(settings_of(behaviour, port="", ready_timeout_s=0.5), tmp_path / "logs")
    # On a machine that stood still it may not have printed, or listened, by then.
    assert "within 0.5 s" in said or all(word in said for word in words), said


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = make_settings(CompareOptions(backends="", server=["odd=no-such-server {port}"]))
    assert "no-such-server" in refusal(settings, tmp_path / "logs")


def test_readiness_that_never_comes_is_told(tmp_path: Path) -> None:
    settings = settings_of("good", ready="GET:/nothing", ready_timeout_s=2.0)
    said = refusal(settings, tmp_path / "logs")
    assert "--ready GET:/nothing" in said or "did not listen" in said


def test_a_server_that_is_not_there_is_told(tmp_path: Path, closed_port: int) -> None:
    url = f"live=http://127.0.0.1:{closed_port}"
    settings = make_settings(CompareOptions(backends="", url=[url]))
    assert "is it up?" in refusal(settings, tmp_path / "logs")


@pytest.mark.parametrize(
    "behaviour",
    ["good", "hangs-on", "chunked", "continue", "http10", "large", "goes-away", "stubborn"],
)
def test_one_that_answers_in_its_own_way_is_taken(tmp_path: Path, behaviour: str) -> None:
    ready = "GET:/healthz" if behaviour in ("good", "goes-away", "stubborn") else None
    looked_at(settings_of(behaviour, ready=ready), tmp_path / "logs")


def test_its_port_may_come_by_its_environment(tmp_path: Path) -> None:
    looked_at(settings_of("from-environment", port=""), tmp_path / "logs")


def test_a_server_that_is_given_up_is_ended_as_a_whole(tmp_path: Path) -> None:
    with started(settings_of("goes-away"), tmp_path / "logs") as server:
        port = server.port
        assert server.look().processes == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1.0).close()


def test_of_a_server_that_prints_a_hundred_megabytes_little_is_kept(tmp_path: Path) -> None:
    looked_at(settings_of("loud", ready="GET:/healthz"), tmp_path / "logs")
    (log,) = (tmp_path / "logs").iterdir()
    assert 0 < log.stat().st_size < 40_000_000
