"""Running out of descriptors is an episode: counted, logged once, waited out without spinning."""

from __future__ import annotations

import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.serving import (
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    read_answer,
)

SPARE = 10
WATCHED_S = 1.0
ASK = b"GET /report HTTP/1.1\r\nConnection: close\r\n\r\n"
MOST_CPU = 0.25  # of one CPU, while there are no descriptors; a spin would take all of it


@contextmanager
def out_of_descriptors(server: RunningServer) -> Iterator[list[socket.socket]]:
    """The server has no descriptor left in this block, in any of its processes; gives the clients
    that hold them."""
    processes = len(server.serving())
    server.leave_descriptors(SPARE)
    before = server.report().counters
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(processes * SPARE + 20)]
        server.until(lambda report: (
            report.counters.accept_errors > before.accept_errors + processes
            and report.counters.descriptor_episodes == before.descriptor_episodes + processes
        ))  # fmt: skip
        yield clients


def complaints(server: RunningServer) -> int:
    return server.log().count("cannot accept")


def test_descriptors_that_run_out_are_one_episode_without_a_spin(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, "--request-deadline=60")
    processes = len(server.serving())  # each has descriptors of its own to run out of
    with out_of_descriptors(server):
        cpu_s, began_s = server.cpu_s(), time.monotonic()
        while time.monotonic() - began_s < WATCHED_S:
            # The report is the work of the server itself, so it is asked for seldom.
            server.report()
            time.sleep(WATCHED_S / 5)
        share = (server.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        assert share < MOST_CPU
        report = server.until(lambda report: report.counters.accept_errors > 5)
        assert report.counters.descriptor_episodes == processes
        assert complaints(server) == processes
        assert server.metrics()["metricstream_descriptor_episodes_total"] == processes
    # The descriptors are back with the clients gone.
    assert exchange(server.port, metric_request()).status == 202
    assert server.reconciled().descriptor_episodes == processes


def test_descriptors_that_run_out_again_are_another_episode(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, "--request-deadline=60")
    processes = len(server.serving())
    for episode in (1, 2):
        with out_of_descriptors(server):
            assert complaints(server) == episode * processes
        assert exchange(server.port, metric_request()).status == 202
        assert server.reconciled().descriptor_episodes == episode * processes
        time.sleep(1.1)  # episodes are told apart by a second without trouble


def test_who_asks_the_control_port_meanwhile_is_answered_afterwards(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, "--request-deadline=60")
    with out_of_descriptors(server), connect(server.control_port) as late:
        late.sendall(ASK)
        server.report()  # whoever was connected before is answered all the same
        server.limit(resource.RLIMIT_NOFILE, 1024)
        assert read_answer(late).status == 200


def test_a_drain_comes_to_its_end_without_descriptors(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, "--request-deadline=0.5")
    processes = len(server.serving())
    with connect(server.port), ExitStack() as stack:
        server.until(lambda report: report.counters.accepted == 1)
        server.limit(resource.RLIMIT_NOFILE, 3)  # less than it has: nothing can bring one back
        # An accept that waits has its descriptor already, one in each process. Of those that come
        # now it takes one at most, and the kernel holds the last.
        for _ in range(processes + 1):
            stack.enter_context(connect(server.port))
        server.until(lambda report: report.counters.accept_errors > 0)
        assert server.stop(signal.SIGTERM) == 0
    accepted, *ends = server.last_account()
    assert 1 <= accepted <= 1 + processes
    assert ends == [accepted, 0, 0, 0]
