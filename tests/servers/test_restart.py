"""`--allow-restart`: the control port has a fresh server started, and nothing else."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import time

import pytest

from harness.targets.control_client import ControlClient, RestartNotAllowed
from servers.access import CONTROL_HEADER
from servers.report import Report
from servers.restart import Restart
from tests.support.serving import (
    PATIENCE_S,
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    pending_signals,
    read_answer,
    signal_second_thread,
    until_stopped,
)


def ask_restart(server: RunningServer, order: Restart) -> None:
    with ControlClient("127.0.0.1", server.control_port) as control:
        control.restart(order)


def successor(server: RunningServer, pid: int) -> Report:
    """The report of the process after `pid`, once it has said that it is ready."""
    assert server.process.stdout is not None
    ready = json.loads(server.process.stdout.readline())
    assert (ready["port"], ready["control_port"]) == (server.port, server.control_port)
    assert ready["pid"] != pid
    with ControlClient("127.0.0.1", server.control_port) as control:
        return control.report()


def test_a_fresh_process_takes_over_the_address(start_server: StartServer) -> None:
    server = start_server("thread-pool", "--allow-restart", "--workers=3", "--queue-size=7")
    assert exchange(server.port, metric_request()).status == 202
    first = server.report()
    assert first.settings["workers"] == 3
    ask_restart(server, Restart("thread-per-request", ["--stack-size=512KiB", "--workers=5"]))
    second = successor(server, first.pid)
    assert second.backend == "thread-per-request"
    assert second.counters.accepted == 0
    assert second.settings["stack_size_bytes"] == 512 * 1024
    # What was not asked for stays as its machine has it.
    assert (second.settings["workers"], second.settings["queue_size"]) == (5, 7)
    assert exchange(server.port, metric_request()).status == 202
    assert server.stop(signal.SIGTERM) == 0
    assert server.log().count("is ready") == 2
    assert server.log().count("accepted 1 = answered 1") == 2


def test_a_signal_is_passed_on_while_a_line_of_the_server_is_waited_for(
    start_server: StartServer,
) -> None:
    """Another thread gets it, so that nothing interrupts that wait: as if it came just before."""
    server = start_server("thread-pool", "--allow-restart")
    assert exchange(server.port, metric_request()).status == 202
    signal_second_thread(server.process.pid, signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0
    assert server.last_account() == (1, 1, 0, 0, 0)


def test_two_signals_at_once_are_two_for_the_server(start_server: StartServer) -> None:
    """Each with its number: the kernel would make one of two that are equal."""
    server = start_server("thread-pool", "--allow-restart", "--request-deadline=60")
    with connect(server.port) as sock:
        sock.sendall(metric_request()[:-1])  # in progress until the deadline
        server.until(lambda report: report.counters.accepted == 1)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            # Before it stands still, it takes both first: a lower number comes first.
            until_stopped(server.pid)
            for number in (signal.SIGTERM, signal.SIGINT):
                server.process.send_signal(number)
            end_s = time.monotonic() + PATIENCE_S
            while (pending := pending_signals(server.pid)) != {signal.SIGTERM, signal.SIGINT}:
                assert time.monotonic() < end_s, pending
                time.sleep(0.001)  # until another process has done something
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert server.process.wait(PATIENCE_S) == 1
    assert "a second signal" in server.log()


def test_what_was_accepted_is_answered_before_the_restart(start_server: StartServer) -> None:
    server = start_server("thread-pool", "--allow-restart", "--workers=1", "--workload=io:200ms")
    pid = server.report().pid
    with connect(server.port) as first, connect(server.port) as second:
        for sock in (first, second):
            sock.sendall(metric_request())
        server.until(lambda report: report.counters.accepted == 2)
        ask_restart(server, Restart("thread-pool"))
        assert [read_answer(sock).status for sock in (first, second)] == [202, 202]
    assert successor(server, pid).counters.accepted == 0


def test_one_that_cannot_start_leaves_the_one_before(start_server: StartServer) -> None:
    server = start_server("thread-pool", "--allow-restart")
    pid = server.report().pid
    ask_restart(server, Restart("thread-per-request", ["--stack-size=2MiB", "--backlog=9"]))
    second = successor(server, pid)
    # Not enough address space for so many stacks: the next process ends before it is ready.
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))
    ask_restart(server, Restart("thread-pool", ["--workers=100", "--stack-size=1GiB"]))
    third = successor(server, second.pid)
    assert (third.backend, third.settings["backlog"]) == ("thread-per-request", 9)
    assert "thread-pool did not start; going on with the one before" in server.log()


def test_without_leave_nothing_is_restarted(backend: str, start_server: StartServer) -> None:
    server = start_server(backend)
    with pytest.raises(RestartNotAllowed, match="--allow-restart"):
        ask_restart(server, Restart(backend))
    with ControlClient("127.0.0.1", server.control_port) as control:
        assert not control.may_restart()
    assert exchange(server.port, metric_request()).status == 202


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Restart("thread-pull"), "no backend 'thread-pull' here; there are "),
        (Restart("os:system"), "no backend 'os:system' here"),
        (Restart("thread-pool", ["--port=1"]), "'--port=1' is not for the control port to choose"),
        (Restart("thread-pool", ["--host=0.0.0.0"]), "not for the control port"),
        (Restart("thread-pool", ["--workers=x"]), "--workers must be a whole number"),
        (Restart("thread-pool", ["--workers"]), "expected one argument"),
        (Restart("thread-pool", ["--cpus=0", "extra"]), "not for the control port"),
    ],
)
def test_what_may_not_be_asked_for_is_refused_and_the_server_lives_on(
    order: Restart, words: str, start_server: StartServer
) -> None:
    server = start_server("thread-pool", "--allow-restart")
    pid = server.report().pid
    with pytest.raises(ValueError, match=words):
        ask_restart(server, order)
    assert server.report().pid == pid
    connection = http.client.HTTPConnection("127.0.0.1", server.control_port, timeout=PATIENCE_S)
    connection.request("POST", "/restart", b'{"backend": 1}', {CONTROL_HEADER: "1"})
    answer = connection.getresponse()
    assert (answer.status, b"takes a backend" in answer.read()) == (400, True)
    connection.close()
    assert "Traceback" not in server.log()


def test_two_orders_at_once_are_one_restart(start_server: StartServer) -> None:
    """The second was a second signal, which ends a server at once and its successor with it."""
    server = start_server("thread-pool", "--allow-restart")
    pid = server.report().pid
    order = b'{"backend": "thread-per-request"}'
    head = f"POST /restart HTTP/1.1\r\nHost: 127.0.0.1:{server.control_port}\r\n"
    asked = f"{head}{CONTROL_HEADER}: 1\r\nContent-Length: {len(order)}\r\n\r\n".encode() + order
    with connect(server.control_port) as first, connect(server.control_port) as second:
        os.kill(pid, signal.SIGSTOP)  # so that it finds both
        first.sendall(asked)
        second.sendall(asked)
        os.kill(pid, signal.SIGCONT)
        statuses = {status_of(first), status_of(second)}
    assert statuses in ({b"202", b"409"}, {b"202", None})  # or it was gone before it saw the other
    assert successor(server, pid).backend == "thread-per-request"
    assert server.stop(signal.SIGTERM) == 0


def status_of(sock: socket.socket) -> bytes | None:
    """The status of an answer; None when the server closed instead."""
    try:
        return sock.recv(1000).partition(b" ")[2][:3] or None
    except ConnectionResetError:
        return None
