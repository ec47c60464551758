"""The sampler looks on at a server that is silent for a while, and ends with one that is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from harness.machine.family import Family
from harness.targets.sampler import LightReports, look
from tests.support.serving import PATIENCE_S, RunningServer, servers

SOON_S = 0.05


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with servers() as start:
        yield start("thread-pool")


def test_a_server_that_stands_still_is_asked_again(server: RunningServer) -> None:
    process, family = psutil.Process(server.pid), Family(server.pid)
    with closing(reports_of(server, SOON_S)) as reports:
        os.kill(server.pid, signal.SIGSTOP)
        while any(psutil.Process(t.id).status() != "stopped" for t in process.threads()):
            assert process.is_running()
        assert [look(family, reports) for _ in range(3)] == [None] * 3
        os.kill(server.pid, signal.SIGCONT)
        while (seen := look(family, reports)) is None:
            assert process.is_running()
    assert seen.server.monotonic_ns > 0
    assert seen.rss_bytes


def test_a_server_that_is_gone_is_not_asked_again(server: RunningServer) -> None:
    family = Family(server.pid)
    with closing(reports_of(server, PATIENCE_S)) as reports:
        assert look(family, reports) is not None
        server.process.kill()
        server.process.wait()
        with pytest.raises((OSError, psutil.Error)):
            look(family, reports)


def reports_of(server: RunningServer, patience_s: float) -> LightReports:
    return LightReports("127.0.0.1", server.control_port, False, patience_s)
