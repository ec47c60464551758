"""A signal stops the server without losing a request that it has accepted."""

from __future__ import annotations

import signal
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from harness.drivers import request_log as L
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.open_loop.worker import GeneratorConfig, Phase, TargetConfig
from harness.drivers.schedule import make_schedule, request_log_of
from harness.machine.cpus import plan_cpus
from tests.support.serving import (
    PATIENCE_S,
    Gate,
    StartServer,
    connect,
    exchange,
    metric_request,
    read_answer,
    signal_second_thread,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
CLIENTS = 50
PATIENT = "--request-deadline=60"


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_server_stops_at_once(
    number: signal.Signals, backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, PATIENT)
    assert exchange(server.port, metric_request()).status == 202
    assert server.stop(number) == 0  # waits for much less than that deadline
    assert server.last_account() == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_was_accepted_and_queued_is_finished(
    number: signal.Signals, faulty_backend: str, start_server: StartServer, gate: Gate
) -> None:
    server = start_server(faulty_backend, "--workers=1", PATIENT, env=gate.env)
    with server.asked(4) as clients:
        server.until(lambda report: report.counters.accepted == 4)
        server.process.send_signal(number)
        report = server.until(lambda report: report.draining)  # it is still asked and answers
        assert report.counters.in_progress == 4
        gate.open()
        assert [read_answer(sock).status for sock in clients] == [202] * 4
    assert server.process.wait(PATIENCE_S) == 0
    assert server.last_account() == (4, 4, 0, 0, 0)
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)


def test_what_a_drain_cannot_finish_in_time_is_closed_and_told(
    faulty_backend: str, start_server: StartServer, gate: Gate
) -> None:
    server = start_server(faulty_backend, "--workers=1", "--request-deadline=0.2", env=gate.env)
    with server.asked(3) as clients:
        server.until(lambda report: report.counters.accepted == 3)
        assert server.stop() == 1
        for sock in clients:
            try:
                assert sock.recv(1000) == b""
            except ConnectionResetError:
                pass  # closed with its request unread
    assert server.last_account() == (3, 0, 0, 0, 3)


def test_a_slow_client_is_cut_off_by_its_deadline_rather_than_abandoned(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, "--request-deadline=3")
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(40)]
        accepted = server.until(lambda report: report.counters.accepted == 40)
        # A drain has half a second more than the deadline. Begun 2 s after these were accepted, it
        # has 2.5 s more than they have: enough for a machine that stands still for a while.
        since_ns = accepted.monotonic_ns
        server.until(lambda report: report.monotonic_ns - since_ns > 2_000_000_000)
        server.process.send_signal(signal.SIGTERM)
        assert {read_answer(sock).status for sock in clients} == {408}
    assert server.process.wait(PATIENCE_S) == 0
    assert server.last_account() == (40, 40, 0, 0, 0)


def test_a_second_signal_ends_at_once(
    faulty_backend: str, start_server: StartServer, gate: Gate
) -> None:
    server = start_server(faulty_backend, PATIENT, env=gate.env)
    with server.asked():
        server.until(lambda report: report.counters.accepted == 1)
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda report: report.draining)
        assert server.stop(signal.SIGINT) == 1
    assert "a second signal" in server.log()


def test_signals_are_heard_while_the_main_thread_waits(
    faulty_backend: str, start_server: StartServer, gate: Gate
) -> None:
    """Another thread gets them, so that nothing interrupts what the main one waits for: as when
    they come just before that wait."""
    server = start_server(faulty_backend, PATIENT, env=gate.env)
    with server.asked():
        server.until(lambda report: report.counters.accepted == 1)
        signal_second_thread(server.pid, signal.SIGTERM)
        server.until(lambda report: report.draining)
        signal_second_thread(server.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE_S) == 1
    assert "a second signal" in server.log()


def test_an_idle_server_stops_whichever_thread_gets_the_signal(
    faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, PATIENT)
    assert exchange(server.port, metric_request()).status == 202
    signal_second_thread(server.pid, signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0
    assert server.last_account() == (1, 1, 0, 0, 0)


def test_no_accepted_request_is_lost_at_5000_rps(backend: str, start_server: StartServer) -> None:
    cpus = plan_cpus()
    server = start_server(
        backend, "--rate-limit=0", "--cpus=" + ",".join(map(str, sorted(cpus.server)))
    )
    schedule = make_schedule(5000, 2.0, CLIENTS, "constant", seed=1)
    warmup = request_log_of(make_schedule(1, 1.0, 1, "constant", seed=1))
    measured = request_log_of(schedule)
    config = GeneratorConfig(
        targets=[TargetConfig(
            "127.0.0.1", server.port,
            [metric_request(f"client-{client}").decode() for client in range(CLIENTS)],
            [None] * CLIENTS,
        )],
        warmup=[Phase(0, warmup.fd)], measured=[Phase(0, measured.fd)],
        timeout_ns=10_000_000_000, max_in_flight=4000,
        closed_loop=False, own_cpu=False, cpus=sorted(cpus.generator),
    )  # fmt: skip
    with GeneratorProcess(config) as generator:
        generator.must_say(20)
        generator.tell(b"go")
        end_s = time.monotonic() + PATIENCE_S
        # Early, so that there is load left to be turned away even if this process stands still.
        while server.sample().accepted < 1000:
            assert time.monotonic() < end_s
            time.sleep(0.01)
        assert server.stop() == 0
        generator.must_say(30)
    outcomes = Counter(L.OUTCOME_NAMES[code % L.DETAIL] for code in measured.column(L.CODE))
    warm = sum(code % L.DETAIL == L.OK for code in warmup.column(L.CODE))
    for log in (warmup, measured):
        log.close()
    # Everything has a name: served, or turned away by a server that was no longer there.
    assert set(outcomes) <= {"ok", "refused", "reset", "unsent"}, outcomes
    assert 1000 <= outcomes["ok"] + warm < len(schedule) + warm, outcomes
    accepted, answered, timed_out, reset, abandoned = server.last_account()
    assert answered == outcomes["ok"] + warm
    assert (accepted, timed_out, reset, abandoned) == (answered, 0, 0, 0)
