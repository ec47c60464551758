"""Several processes behind one port: they are one server to whoever asks, and a process that dies
takes down what it had in hand and nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from servers.ledger import KeptRecorder, Ledger
from servers.shared_rate_limit import SharedTokenBuckets
from tests.support.serving import (
    PATIENCE_S,
    Gate,
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    read_answer,
)

PATIENT = "--request-deadline=60"
TWO = "--processes=2"


def test_the_report_has_the_sums_of_all_processes(start_server: StartServer) -> None:
    server = start_server("prefork", "--processes=3", "--workers=2")
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda n: ask(server, f"client-{n % 7}"), range(300)))
    assert answers == [202] * 300
    report = server.until(lambda report: report.stage_rows == 300)
    assert report.pid == server.pid
    assert report.gauges.processes == 3
    assert (report.gauges.threads_active, report.gauges.threads_peak) == (6, 6)
    assert report.counters.metrics_taken == 300
    assert report.counters.clients_tracked == 7
    assert set(report.stages_us) >= {"dispatch", "write"}
    server.reconciled()
    metrics = server.metrics()
    assert metrics["metricstream_processes"] == 3
    assert metrics["metricstream_processes_replaced_total"] == 0
    server.ask("/window", "POST")
    assert server.report().stage_rows == 0
    assert server.sample().accepted == 300


def test_memory_that_processes_share_is_counted_once(start_server: StartServer) -> None:
    alone, four = (start_server("prefork", f"--processes={n}") for n in (1, 4))
    resident = four.report().process.rss_bytes
    assert resident < 2 * alone.report().process.rss_bytes
    each = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in four.serving()]
    assert resident < sum(each) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("listener", ["inherited", "reuseport"])
def test_what_a_killed_process_had_in_hand_is_reset_and_counted(
    listener: str, start_server: StartServer, gate: Gate
) -> None:
    server = start_server(
        "faulty:Forked", TWO, "--workers=2", PATIENT, f"--listener={listener}", env=gate.env
    )
    with server.asked(12) as clients:
        before = server.until(lambda report: report.counters.accepted == 12)
        killed = server.serving()[0]
        os.kill(killed, signal.SIGKILL)
        report = server.until(lambda report: report.gauges.processes_replaced == 1)
        lost = report.counters.abandoned
        assert report.counters.accepted == before.counters.accepted
        assert report.counters.in_progress == 12 - lost
        gate.open()
        ends = Counter(how_it_ends(sock) for sock in clients)
    assert ends == Counter({202: 12 - lost, None: lost} if lost else {202: 12})
    assert f"process {killed} has ended (SIGKILL) with {lost} requests in hand" in server.log()
    assert len(server.serving()) == 2
    assert killed not in server.serving()
    assert ask(server) == 202
    counters = server.reconciled()
    assert (counters.answered, counters.abandoned) == (13 - lost, lost)
    assert server.metrics()["metricstream_processes_replaced_total"] == 1
    assert server.stop() == (1 if lost else 0)
    assert server.last_account() == (13, 13 - lost, 0, 0, lost)


def test_accounts_are_exact_whenever_processes_are_killed(start_server: StartServer) -> None:
    """Under load: who got an answer is counted as answered, and nobody is counted twice."""
    server = start_server("prefork", TWO, "--rate-limit=0", PATIENT)
    stop, ends = threading.Event(), Counter[int | None]()

    def send_on() -> Counter[int | None]:
        mine = Counter[int | None]()
        while not stop.is_set():
            with connect(server.port) as sock:
                try:
                    sock.sendall(metric_request())
                    mine[how_it_ends(sock)] += 1
                except ConnectionError:
                    mine[None] += 1
        return mine

    with ThreadPoolExecutor(8) as clients:
        sending = [clients.submit(send_on) for _ in range(8)]
        try:
            for number in range(1, 4):
                kill_under_load(server, number)
        finally:
            stop.set()
        for each in sending:
            ends += each.result()
    assert set(ends) <= {202, None}
    counters = server.reconciled()
    # Who was being answered at that moment is counted as answered, whether it got out or not.
    assert ends[202] <= counters.answered <= ends.total()
    assert counters.accepted <= ends.total()
    assert counters.metrics_taken == counters.answered
    assert counters.reset == counters.timed_out == 0
    assert server.report().gauges.processes == 2


def test_a_process_that_is_told_to_stop_finishes_and_is_replaced(
    start_server: StartServer, gate: Gate
) -> None:
    server = start_server("faulty:Forked", TWO, PATIENT, env=gate.env)
    with server.asked(6) as clients:
        server.until(lambda report: report.counters.accepted == 6)
        leaving = server.serving()[0]
        os.kill(leaving, signal.SIGTERM)
        os.kill(leaving, signal.SIGTERM)  # as a service manager that signals all, and its master
        gate.open()
        assert [read_answer(sock).status for sock in clients] == [202] * 6
    server.until(lambda report: report.gauges.processes_replaced == 1)
    assert ask(server) == 202
    assert server.stop() == 0
    assert server.last_account() == (7, 7, 0, 0, 0)


def test_no_process_outlives_its_master(start_server: StartServer, gate: Gate) -> None:
    server = start_server("faulty:Forked", TWO, env=gate.env)
    serving = [os.pidfd_open(pid) for pid in server.serving()]
    with server.asked(2) as clients:
        server.until(lambda report: report.counters.accepted == 2)
        os.kill(server.pid, signal.SIGKILL)
        assert [how_it_ends(sock) for sock in clients] == [None, None]
    for pidfd in serving:
        wait_for_end(pidfd)


def test_a_process_that_stands_still_does_not_hold_up_the_end(start_server: StartServer) -> None:
    server = start_server("prefork", TWO, "--request-deadline=0.2")
    assert ask(server) == 202
    os.kill(server.serving()[0], signal.SIGSTOP)
    assert server.stop() == 0
    assert server.last_account() == (1, 1, 0, 0, 0)


def test_a_signal_to_all_processes_drains_once(start_server: StartServer, gate: Gate) -> None:
    """Ctrl-C in a terminal."""
    server = start_server("faulty:Forked", TWO, PATIENT, env=gate.env)
    with server.asked(4) as clients:
        server.until(lambda report: report.counters.accepted == 4)
        os.killpg(server.pid, signal.SIGINT)
        server.until(lambda report: report.draining)
        gate.open()
        assert [read_answer(sock).status for sock in clients] == [202] * 4
    assert server.process.wait(PATIENCE_S) == 0
    assert server.last_account() == (4, 4, 0, 0, 0)


def test_processes_that_cannot_start_are_one_sentence() -> None:
    done = run("prefork", "--processes=2", "--workers=64", "--stack-size=1GiB", address_space=16)
    assert done.returncode == 2
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if not line.startswith("2 processes")]
    assert len(told) == 1
    assert "prefork cannot start" in told[0]
    assert "fewer --workers" in told[0]


def test_bad_numbers_of_processes_are_one_sentence() -> None:
    done = run("prefork", "--processes=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--processes must be a whole number from 1 to 1000: '0'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_more_processes_than_cpus_are_allowed_and_told(start_server: StartServer) -> None:
    cpu = min(os.sched_getaffinity(0))
    server = start_server("prefork", TWO, f"--cpus={cpu}")
    assert server.report().gauges.processes == 2
    assert "2 processes on 1 CPU" in server.log()
    assert start_server("prefork", f"--cpus={cpu}").report().gauges.processes == 1


def test_a_limit_holds_over_all_processes() -> None:
    """Forked processes take tokens of one client at once: as many as there are, and no more."""
    buckets = SharedTokenBuckets(1000, clock_ns=lambda: 1)
    reading, writing = os.pipe()
    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            buckets.forked()
            got = sum(buckets.wait_s("greedy") == 0.0 for _ in range(500))
            os.write(writing, bytes([got // 256, got % 256]))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    told = os.read(reading, 64)
    os.close(reading)
    os.close(writing)
    assert sum(told[i] * 256 + told[i + 1] for i in range(0, 8, 2)) == 1000
    assert len(buckets) == 1


def test_shared_buckets_refill_and_forget_whom_they_have_not_seen_for_longest() -> None:
    now_ns = [1]
    buckets = SharedTokenBuckets(10, clock_ns=lambda: now_ns[0])
    assert [buckets.wait_s("a") for _ in range(10)] == [0.0] * 10
    assert buckets.wait_s("a") == pytest.approx(0.1)
    now_ns[0] += 100_000_000
    assert buckets.wait_s("a") == 0.0
    assert buckets.wait_s("a") > 0
    for number in range(50_000):
        now_ns[0] += 1
        buckets.wait_s(f"client-{number}")
    assert len(buckets) <= 10_000
    assert buckets.wait_s("a") == 0.0  # forgotten, so with a full bucket


def test_a_ledger_that_was_cut_short_has_what_was_there_before() -> None:
    ledger = Ledger(1)
    recorder = ledger.recorder()
    assert isinstance(recorder, KeptRecorder)
    recorder.statuses[202] = 5
    recorder.rejected["of its own"] = 1
    recorder.keep()
    recorder.statuses[202] = 6
    recorder.answering(404)
    assert ledger.counters().answered_by_status == {"202": 6, "404": 1}
    assert ledger.counters().rejected_by_backend == {"of its own": 1}
    recorder.rejected["x" * 2000] = 1  # more than a page holds
    recorder.keep()
    assert ledger.counters().answered_by_status == {"202": 6, "404": 1}


def kill_under_load(server: RunningServer, number: int) -> None:
    """Once a hundred more have come, kill a process; until that many have been replaced."""
    accepted = server.report().counters.accepted
    server.until(lambda report: report.counters.accepted > accepted + 100)
    os.kill(server.serving()[-1], signal.SIGKILL)
    server.until(lambda report: report.gauges.processes_replaced == number)


def ask(server: RunningServer, client: str = "test") -> int:
    return exchange(server.port, metric_request(client)).status


def how_it_ends(sock: socket.socket) -> int | None:
    """The status of its answer; None where there is none."""
    try:
        raw = sock.recv(65536)
    except ConnectionError:
        return None
    return int(raw.split(b" ")[1]) if raw else None


def wait_for_end(pidfd: int) -> None:
    """Of a process that is none of ours."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            signal.pidfd_send_signal(pidfd, 0)
        except ProcessLookupError:
            os.close(pidfd)
            return
        assert time.monotonic() < end_s
        time.sleep(0.01)


def run(*arguments: str, address_space: int | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m servers`, with so many GiB of address space at most."""
    command = [sys.executable, "-P", "-m", "servers", *arguments, "--port=0"]
    if address_space is not None:
        command = ["prlimit", f"--as={address_space << 30}", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
