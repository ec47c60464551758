"""Every failure is put down to a cause: each is provoked for real, counted and told."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import psutil
import pytest

from harness.core.record import Kernel, Settings, Trial
from harness.designs.trials import PlannedTrial, plan_trials
from harness.drivers import request_log as L
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.machine.kernel import deltas, read_kernel
from harness.measure.accounts import failure_causes
from harness.measure.build_trial import build_trial, client_figures
from harness.measure.request_rows import Rows
from harness.measure.trial import Progress, run_trial
from harness.studies.compare.comparison import build_comparisons
from harness.targets.arm import Arm
from tests.support import few_ports

Serve = Callable[[socket.socket], None]
Drive = Callable[..., Rows]
ServeWith = Callable[[Serve], int]

PATIENCE_S = 20.0  # where nothing is to time out, on a machine that may stand still
PLANNED = PlannedTrial(Arm("thread-pool", 0), 200.0, 1, 0, 1, 2)
QUIET = Kernel(listen_overflows=0, listen_drops=0, retransmits=0, time_wait_peak=None)


def trial_of(rows: Rows, kernel: Kernel = QUIET) -> Trial:
    return build_trial(PLANNED, "", 0.5, rows, None, kernel, None, None)


def told(rows: Rows, kernel: Kernel = QUIET) -> str:
    return "\n".join(trial_of(rows, kernel).warnings)


def answering(answer: bytes) -> Serve:
    def treat(connection: socket.socket) -> None:
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    return treat


def test_a_sound_trial_warns_of_nothing(drive: Drive, serve_with: ServeWith) -> None:
    ok = b'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{"accepted":1}'
    assert told(drive(serve_with(answering(ok)), timeout_s=PATIENCE_S)) == ""


def test_backlog_overflow_that_times_out_is_named_with_the_kernels_count(drive: Drive) -> None:
    before = read_kernel()
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        rows = drive(listener.getsockname()[1], timeout_s=0.5)
    kernel = deltas(before, read_kernel(), None)
    timed_out = rows.outcome == L.TIMEOUT
    never = int(((rows.connected < 0) & timed_out).sum())
    assert never > 0
    # Every SYN that was dropped was counted: at least one a connection that never came about.
    assert (kernel.listen_overflows or 0) >= never
    assert (kernel.listen_drops or 0) >= never
    said = told(rows, kernel)
    assert f"backlog overflow: the kernel counted {kernel.listen_overflows:,} Listen" in said
    assert f"{never:,} requests never got a connection" in said
    connected = int(timed_out.sum()) - never
    assert connected <= 2
    if connected:
        assert f"deadline: connected, but not answered within the timeout: {connected} req" in said


def test_backlog_overflow_that_passes_shows_as_connections_that_took_a_second(
    drive: Drive,
) -> None:
    ok = b'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{"accepted":1}'
    before = read_kernel()
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        # The server wakes up when the kernel has dropped the SYN of most requests.
        stop, treat = threading.Event(), answering(ok)

        def serve() -> None:
            while (deltas(before, read_kernel(), None).listen_overflows or 0) < 10:
                if stop.wait(0.01):  # the kernel tells nobody of an overflow
                    return
            while not stop.is_set():
                try:
                    treat(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        rows = drive(listener.getsockname()[1], rps=40, timeout_s=15.0)
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    kernel = deltas(before, read_kernel(), None)
    late = int((rows.connected - rows.sent >= 950_000_000).sum())
    assert late > 0
    assert (kernel.listen_overflows or 0) > 0
    assert f"{late:,} waited 1 s or more for one" in told(rows, kernel)
    assert "backlog overflow" in told(rows, kernel)


def test_without_the_kernels_word_no_overflow_is_claimed(drive: Drive) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        rows = drive(listener.getsockname()[1], timeout_s=0.3)
    assert "though the kernel counted no overflow" in told(rows)
    blind = Kernel(listen_overflows=None, listen_drops=None, retransmits=None, time_wait_peak=None)
    assert "though the kernel cannot be read" in told(rows, blind)


def test_refused_is_named(drive: Drive, closed_port: int) -> None:
    rows = drive(closed_port, timeout_s=PATIENCE_S)
    assert told(rows) == (
        "refused: nobody listened, or somebody on the way said no: "
        f"{len(rows.code):,} requests"
    )  # fmt: skip


@pytest.mark.parametrize("status", [503, 429])
def test_the_servers_no_is_named_with_its_status(
    drive: Drive, serve_with: ServeWith, status: int
) -> None:
    answer = b"HTTP/1.1 %d No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n" % status
    rows = drive(serve_with(answering(answer)), timeout_s=PATIENCE_S)
    size = len(rows.code)
    assert told(rows) == f"the server said no: {size:,} requests (by status {status}: {size:,})"


def test_a_missed_deadline_is_named(drive: Drive, serve_with: ServeWith) -> None:
    held: list[socket.socket] = []
    rows = drive(serve_with(held.append), timeout_s=0.2)
    for connection in held:
        connection.close()
    missed = int((rows.outcome == L.TIMEOUT).sum())
    assert missed > 0
    # A generator that was held up does not send what is past its deadline already, and says so.
    assert missed + int((rows.outcome == L.UNSENT).sum()) == len(rows.code)
    assert told(rows).startswith(
        f"deadline: connected, but not answered within the timeout: {missed:,} requests"
    )


def test_no_ports_is_named() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is not installed")
    allowed = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("this machine does not allow network namespaces")
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, few_ports.__file__],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    short = found["scheduled"] - few_ports.PORTS
    assert found["unsent"] == {"no ports": short}
    assert found["timeout"] == few_ports.PORTS
    assert found["class"] == "generator-limited"
    assert f"no ports: {short}" in found["why"]
    assert f"unsent by the generator (no ports: {short}): {short} requests" in found["causes"]


def test_every_failure_is_in_some_sentence(drive: Drive, serve_with: ServeWith) -> None:
    """The counts of the sentences add up to what was not ok, whatever the mixture."""
    answers = iter(
        [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b"nonsense", b""] * 1000
    )  # fmt: skip

    def treat(connection: socket.socket) -> None:
        answering(next(answers))(connection)

    rows = drive(serve_with(treat), timeout_s=PATIENCE_S)
    client = client_figures(rows, 0.5, None)
    sentences = failure_causes(rows, client, QUIET)
    counts = [int(found[1].replace(",", "")) for s in sentences
              if (found := re.search(r"([\d,]+) requests?", s))]  # fmt: skip
    assert len(sentences) == 3
    assert sum(counts) == client.scheduled - client.outcomes.ok == client.scheduled


def test_littles_law_warns_from_five_microseconds_a_request_on(
    drive: Drive, serve_with: ServeWith
) -> None:
    held: list[socket.socket] = []
    rows = drive(serve_with(held.append), timeout_s=0.2)
    for connection in held:
        connection.close()
    assert "Little" not in told(rows)
    # An account with a hole in it: more was seen in flight than the times in the rows explain.
    flown = rows.sent >= 0
    whole_ns = int((rows.ended - rows.sent)[flown].sum())
    for gap_us, warned in ((4, False), (6, True), (-6, True)):
        wrong = replace(rows, in_flight_ns=whole_ns + gap_us * 1000 * int(flown.sum()))
        assert ("Little's law is off" in told(wrong)) == warned


SETTINGS: dict[str, Any] = {
    "rps": [300.0], "backends": ["thread-pool", "thread-pool"], "rounds": 2,
    "duration_s": 0.5, "warmup_s": 0.0, "clients": 100, "timeout_s": 1.0, "arrivals": "poisson",
    "workload": "ingest", "driver": "open-loop", "workers": 16, "queue_size": 10_000,
    "stack_size_bytes": 2 << 20, "backlog": 4096, "rate_limit_per_s": 1000, "lock_stacks": False,
    "switch_interval_s": None, "seed": 1,
}  # fmt: skip


# ---- the generator as the limit ---------------------------------------------------------------


@contextmanager
def cpu_taken_from(pid: int) -> Iterator[None]:
    """SIGSTOP for 30 ms in every 60: half of the CPU is gone, whatever the priority."""
    over = threading.Event()

    def pulse() -> None:
        try:
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                over.wait(0.03)
                os.kill(pid, signal.SIGCONT)
                over.wait(0.03)
        except ProcessLookupError:
            return  # it has ended

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


def generators() -> set[int]:
    return {child.pid for child in psutil.Process().children() if _is_generator(child)}


def _is_generator(process: psutil.Process) -> bool:
    try:
        return "harness.drivers.open_loop.worker" in process.cmdline()
    except psutil.NoSuchProcess:
        return False  # it has ended, and nobody has waited for it yet


def test_a_generator_without_its_cpu_is_found_and_nothing_is_compared() -> None:
    settings = msgspec.convert(SETTINGS, Settings)
    trials: list[Trial] = []
    for planned in plan_trials(settings):
        taken: list[object] = []
        with _thief(taken) as watch:
            result = run_trial(planned, settings, plan_cpus(), raise_descriptor_limit(), watch)
        assert taken, "the generator was never seen"
        trials.append(result.trial)
    for trial in trials:
        assert (trial.class_, trial.valid) == ("generator-limited", False)
        why = trial.invalid_reason or ""
        assert re.search(r"the generator (was [\d.]+ ms late|did not send)", why)
        assert trial.client.outcomes.total() == trial.client.scheduled
    comparisons = build_comparisons(settings, trials)
    assert {(c.verdict, c.ratio) for c in comparisons} == {("not-comparable", None)}


@contextmanager
def _thief(taken: list[object]) -> Iterator[Callable[[Progress], None]]:
    """A thread that finds this process's generator as soon as there is one, and robs it."""
    over = threading.Event()

    def rob() -> None:
        while not over.is_set():
            for pid in generators():
                taken.append(pid)
                with cpu_taken_from(pid):
                    over.wait()
            over.wait(0.01)  # the operating system tells nobody of a new process

    thread = threading.Thread(target=rob)
    thread.start()
    try:
        yield lambda progress: None
    finally:
        over.set()
        thread.join(5)
