"""Accounts that must agree, and whose fault it is when they end early.

Issue 12, part B (accounts), points 4 and 8 to 13, and one window for all figures of the server.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from time import monotonic_ns
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from harness.core.record import Kernel, Server, Settings
from harness.designs.trials import PlannedTrial, plan_trials
from harness.drivers import request_log as L
from harness.drivers.driver import driver_of
from harness.drivers.open_loop import engine as engines
from harness.drivers.open_loop.engine import Engine
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.machine.kernel import deltas, read_kernel
from harness.measure import trial as experiment
from harness.measure.accounts import account_warnings, failure_causes, in_flight_mean, little_gap_us
from harness.measure.build_trial import (
    build_trial,
    client_figures,
    window_length_s,
    window_warnings,
)
from harness.measure.request_rows import Rows
from harness.measure.server_metrics import ServerWindow, server_figures
from harness.measure.trial import Progress, TrialResult, Watch, run_trial
from harness.targets.arm import Arm
from harness.targets.control_client import ControlClient
from harness.targets.processes import SamplerProcess
from harness.targets.sampler import Observation
from servers.report import Report, Sample
from tests.support.serving import RunningServer, metric_request

Serve = Callable[[socket.socket], None]
Drive = Callable[..., Rows]
ServeWith = Callable[[Serve], int]

SETTINGS: dict[str, Any] = {
    "rps": [200.0], "backends": ["thread-pool"], "rounds": 1, "duration_s": 1.0, "warmup_s": 0.0,
    "clients": 10, "timeout_s": 1.0, "arrivals": "poisson", "workload": "ingest",
    "driver": "open-loop", "workers": 16, "queue_size": 10_000, "stack_size_bytes": 2 << 20,
    "backlog": 4096, "rate_limit_per_s": 1000, "lock_stacks": False, "switch_interval_s": None,
    "seed": 1,
}  # fmt: skip
OK = b'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{"accepted":1}'
QUIET = Kernel(listen_overflows=0, listen_drops=0, retransmits=0, time_wait_peak=None)
PLANNED = PlannedTrial(Arm("thread-pool", 0), 200.0, 1, 0, 1, 2)
LOCUST = {"driver": "locust", "user_class": "socket", "locust_workers": 0}


def measure(watch: Watch | None = None, **changes: Any) -> TrialResult:
    """One trial for real."""
    settings = msgspec.convert(SETTINGS | changes, Settings)
    (planned,) = plan_trials(settings)
    return run_trial(planned, settings, plan_cpus(), raise_descriptor_limit(), watch)


def running(module: str) -> list[int]:
    """This process's children that run `module`."""
    found = []
    for child in psutil.Process().children():
        try:
            if module in child.cmdline():
                found.append(child.pid)
        except psutil.NoSuchProcess:
            pass  # it has ended, and nobody has waited for it yet
    return found


def answering(connection: socket.socket) -> None:
    with connection:
        connection.recv(4096)
        connection.sendall(OK)


def told(rows: Rows, server: Server | None = None, kernel: Kernel = QUIET) -> str:
    """All that the accounts have to say of one another."""
    client = client_figures(rows, 0.5, None)
    return "; ".join(account_warnings(rows, client, kernel, server))


# ---- point 4: Little's law is able to fail -----------------------------------------------------


class EndMissed(Engine):
    """Of one request in 20 the end is never written down."""

    def _end(self, row: int, code: int, now: int) -> None:
        if row % 20:
            super()._end(row, code, now)
        else:
            self._client_is_free(row, now)


class StampMissed(Engine):
    """One request in 20 has its outcome and no end."""

    def _end(self, row: int, code: int, now: int) -> None:
        super()._end(row, code, now)
        if row % 20 == 0:
            self._ended[row] = L.NOT_YET


class EndLate(Engine):
    """Ends are written down 100 us late."""

    def _end(self, row: int, code: int, now: int) -> None:
        super()._end(row, code, now + 100_000)


class StampedEarly(Engine):
    """Whatever epoll reports is stamped 100 us early: at the source, not in the rows alone."""

    def _handle(self, events: list[tuple[int, int]], now: int, read: int) -> None:
        super()._handle(events, now - 100_000, read)


class SendsLate(Engine):
    """Sends are written down 100 us late."""

    def _start(self, row: int, allowed: int, now: int) -> None:
        super()._start(row, allowed, now)
        for column in (self._sent, self._connected):
            if column[row] >= 0:
                column[row] += 100_000


class CountedTwice(Engine):
    """One request in 20 begins to fly twice."""

    def _start(self, row: int, allowed: int, now: int) -> None:
        super()._start(row, allowed, now)
        if self._sent[row] >= 0 and row % 20 == 0:
            self._in_flight_ns -= monotonic_ns()


class EndedTwice(Engine):
    """One request in 20 ends once more, 5 ms later."""

    def _end(self, row: int, code: int, now: int) -> None:
        super()._end(row, code, now)
        if row % 20 == 0:
            super()._end(row, code, now + 5_000_000)


LITTLE, ROWS = "Little's law is off", "of the generator's account cannot be right"


@pytest.mark.parametrize(
    ("engine", "seen"),
    [
        (Engine, set()),
        (EndMissed, {ROWS, LITTLE}),
        (StampMissed, {ROWS, LITTLE}),
        (EndLate, {LITTLE}),
        (StampedEarly, {LITTLE}),
        (SendsLate, {LITTLE}),
        (CountedTwice, {LITTLE}),
        (EndedTwice, {LITTLE}),
    ],
)
def test_each_injected_fault_is_seen_by_the_accounts_that_can(
    drive: Drive, serve_with: ServeWith, engine: type[Engine], seen: set[str]
) -> None:
    over = threading.Event()

    def slowly(connection: socket.socket) -> None:
        """Two milliseconds for each, so that no shift turns the order of times round."""
        over.wait(0.002)
        answering(connection)

    said = told(drive(serve_with(slowly), rps=100, timeout_s=10.0, engine=engine))
    found = {words for words in (LITTLE, ROWS) if words in said}
    if engine in (StampedEarly, SendsLate):
        found.discard(ROWS)  # where the kernel took its time to connect, times are out of order too
    assert found == seen
    if not seen:
        assert said == ""


def test_what_a_sum_cannot_see_is_a_swap_and_the_rows_see_it_where_times_are_in_disorder(
    drive: Drive, serve_with: ServeWith
) -> None:
    rows = drive(serve_with(answering), timeout_s=10.0)
    # The ends of the first and the last request swapped: the sum of all times is what it was.
    ended = rows.ended.copy()
    ended[[0, -1]] = ended[[-1, 0]]
    swapped = replace(rows, ended=ended)
    assert little_gap_us(swapped) == little_gap_us(rows)
    assert ROWS in told(swapped)


@pytest.mark.parametrize("own_cpu", [True, False], ids=["spinning", "sleeping"])
@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_no_arrivals_make_littles_law_cry_wolf(
    drive: Drive, serve_with: ServeWith, arrivals: str, own_cpu: bool
) -> None:
    """Ten thousand looks at even times, as there were, alias with arrivals at even times."""
    rows = drive(serve_with(answering), rps=400, arrivals=arrivals, own_cpu=own_cpu, clients=1)
    gap_us = little_gap_us(rows)
    assert gap_us is not None
    assert abs(gap_us) < 5
    assert told(rows) == ""
    window_s = window_length_s(rows, 0.5)
    mean = float((rows.ended - rows.sent)[rows.sent >= 0].sum()) / 1e9 / window_s
    assert in_flight_mean(rows, window_s) == pytest.approx(mean, abs=0.005)


def test_refusals_are_in_the_account_of_what_was_in_flight(drive: Drive, closed_port: int) -> None:
    rows = drive(closed_port)
    assert rows.in_flight_ns == pytest.approx(
        (rows.ended - rows.sent).sum(), abs=5000 * len(rows.code)
    )
    assert told(rows) == ""


@contextmanager
def served(*arguments: str) -> Iterator[tuple[int, Callable[[], Server]]]:
    """A real server: its port, and what it comes to over all that happened since."""
    with (
        closing(RunningServer("thread-pool", *arguments)) as server,
        ControlClient("127.0.0.1", server.control_port) as control,
    ):
        opened = control.open_window()

        def account() -> Server:
            rested = control.wait_until_idle(10.0)
            return server_figures(ServerWindow(opened, rested, rested, [], (0, 1)))

        yield server.port, account


def test_the_servers_own_integral_is_a_lower_bound_for_the_generators(drive: Drive) -> None:
    with served("--workload=io:8ms") as (port, account):
        rows = drive(port, timeout_s=10.0, request=metric_request())
        server = account()
    held_s = server.account.held_s
    assert held_s is not None
    assert held_s > 0.008 * len(rows.code)
    assert told(rows, server) == ""
    # A clock of the generator's that runs too slowly, for its rows and its integral alike: the
    # times are half of what the server held its requests for.
    assert rows.in_flight_ns is not None
    slow = 0.5 * held_s * 1e9 / rows.in_flight_ns
    wrong = replace(
        rows,
        connected=rows.sent,
        ended=rows.sent + ((rows.ended - rows.sent) * slow).astype(np.int64),
        in_flight_ns=int(rows.in_flight_ns * slow),
    )
    said = told(wrong, server)
    assert said.startswith("the server held its requests for")
    assert LITTLE not in said
    # Of who gives up the server goes on holding the request: then there is no such bound.
    gave_up = replace(wrong, code=np.where(np.arange(len(rows.code)) == 0, L.TIMEOUT, wrong.code))
    assert "held its requests" not in told(gave_up, server)


# ---- point 8: the server's counts and the generator's reconcile in every trial -----------------


@pytest.mark.parametrize(
    "changes",
    [{}, {"driver": "closed-loop"}, LOCUST],
    ids=["open loop", "closed loop", "Locust"],
)
def test_the_two_accounts_reconcile_whoever_drives(changes: dict[str, Any]) -> None:
    result = measure(**changes)
    trial = result.trial
    assert trial.server is not None
    outcomes, requests = trial.client.outcomes, trial.server.account
    assert trial.client.scheduled == outcomes.total() == len(result.requests) > 0
    begun = trial.client.scheduled - outcomes.unsent - outcomes.refused
    assert begun - outcomes.timeout - outcomes.reset <= requests.accepted <= begun
    assert not any("reconcile" in said or "unexplained" in said for said in trial.warnings)


def test_a_gap_that_the_kernel_explains_is_told_with_its_numbers() -> None:
    """A server that stands still for a moment, with a backlog of one."""

    halted: list[int] = []

    def halt(progress: Progress) -> None:
        if not halted:
            halted.extend(running("servers"))
            before = read_kernel()
            os.kill(halted[0], signal.SIGSTOP)
            while (deltas(before, read_kernel(), None).listen_overflows or 0) < 20:
                threading.Event().wait(0.01)  # the kernel tells nobody of an overflow
            os.kill(halted[0], signal.SIGCONT)

    trial = measure(halt, backlog=1, duration_s=2.0, timeout_s=0.4).trial
    assert trial.server is not None
    outcomes = trial.client.outcomes
    begun = trial.client.scheduled - outcomes.unsent - outcomes.refused
    accepted = trial.server.account.accepted
    assert accepted < begun
    (said,) = (words for words in trial.warnings if words.startswith("the server accepted"))
    assert said.startswith(
        f"the server accepted {accepted:,} of the {begun:,} connections that were begun; of the "
        f"other {begun - accepted:,} the kernel counted "
    )
    assert said.endswith("at a full backlog, which explains them")


def report(ended_ms: int = 0, **counts: int) -> Report:
    """A server's report `ended_ms` after the window was opened."""
    zeros = dict.fromkeys(
        ("accepted", "answered", "rejected_queue_full", "rejected_no_thread", "rejected_rate",
         "timed_out", "reset", "abandoned", "deadlines_missed", "handler_errors", "accept_errors",
         "descriptor_episodes", "metrics_taken", "clients_tracked"), 0,
    )  # fmt: skip
    process = dict.fromkeys(
        ("cpu_us", "handler_cpu_us", "housekeeping_cpu_us", "voluntary_switches",
         "involuntary_switches", "housekeeping_switches", "minor_faults", "rss_bytes",
         "rss_peak_bytes", "vms_bytes", "vms_peak_bytes", "stack_size_bytes"), 0,
    )  # fmt: skip
    return msgspec.convert(
        {
            "backend": "thread-per-request", "pid": 1, "monotonic_ns": ended_ms * 1_000_000,
            "started_ns": 0, "window_ns": 0, "stages_us": {}, "draining": False, "settings": {},
            "gauges": {"threads_created": counts.get("created", 0), "threads_active": 0,
                       "threads_peak": 1, "threads_active_ns": 0},
            "counters": zeros | {"answered_by_status": {}},
            "process": process | {"voluntary_switches": counts.get("switches", 0)},
            "stage_rows": counts.get("kept", 0), "stage_rows_dropped": counts.get("dropped", 0),
        },
        Report,
    )  # fmt: skip


def account(accepted: int, sent: dict[str, int], **more: Any) -> Server:
    """What a server may say of itself."""
    server = server_figures(ServerWindow(report(), report(), report(5_000), [], (0, 1)))
    requests = msgspec.structs.replace(
        server.account, accepted=accepted, answered=sum(sent.values()), answered_by_status=sent,
        held_s=None, **more,
    )  # fmt: skip
    return msgspec.structs.replace(server, requests=requests)


def rows_of(**outcomes: int) -> Rows:
    """So many rows of each outcome, a millisecond apart, each as long as that."""
    statuses = {"ok": 202, "rejected": 503, "http_error": 404}
    codes = [
        L.OUTCOME_NAMES.index(name) + L.DETAIL * statuses.get(name, 0)
        for name, count in outcomes.items()
        for _ in range(count)
    ]
    code = np.array(codes, dtype=np.int64)
    intended = np.arange(len(code), dtype=np.int64) * 1_000_000
    sent = np.where(code % L.DETAIL == L.UNSENT, L.NOT_YET, intended)
    return Rows(
        start_ns=0, intended=intended, client=np.zeros_like(code), allowed=intended, sent=sent,
        connected=sent, ended=np.where(sent < 0, L.NOT_YET, sent + 1_000_000), code=code,
        in_flight_max=1,
    )  # fmt: skip


DROPS = Kernel(listen_overflows=60, listen_drops=70, retransmits=0, time_wait_peak=None)
BLIND = Kernel(listen_overflows=None, listen_drops=None, retransmits=None, time_wait_peak=None)


@pytest.mark.parametrize(
    ("outcomes", "server", "kernel", "said"),
    [
        ({"ok": 10}, account(10, {"202": 10}), QUIET, ""),
        ({"ok": 9, "unsent": 1}, account(9, {"202": 9}), QUIET, ""),
        ({"ok": 9, "refused": 1}, account(9, {"202": 9}), QUIET, ""),
        ({"ok": 8, "rejected": 2}, account(10, {"202": 8, "503": 2}), QUIET, ""),
        # Who gave up may have been accepted or not, and answered or not.
        ({"ok": 8, "timeout": 2}, account(10, {"202": 10}), QUIET, ""),
        ({"ok": 8, "timeout": 2}, account(10, {"202": 9}), QUIET, ""),
        ({"ok": 9, "reset": 1}, account(10, {"202": 9}), QUIET, ""),
        (
            {"ok": 10}, account(11, {"202": 10}), QUIET,
            "the accounts do not reconcile: the server accepted 11 connections, and by the "
            "generator's account 10 were made; nothing explains it",
        ),
        (
            {"ok": 9, "timeout": 1}, account(8, {"202": 9}), QUIET,
            "the accounts do not reconcile: the server accepted 8 connections, and by the "
            "generator's account 9 to 10 were made; nothing explains it",
        ),
        (
            {"ok": 10}, account(10, {"202": 9}), QUIET,
            "the accounts do not reconcile: the generator has 10 answers of status 202 and the "
            "server sent 9; nothing explains it",
        ),
        (
            {"ok": 8, "timeout": 2}, account(10, {"202": 11}), QUIET,
            "the accounts do not reconcile: the server sent 3 answers more than the generator "
            "got, and 2 of its requests ended without one; nothing explains it",
        ),
        (
            {"ok": 30, "timeout": 70}, account(40, {"202": 30}), DROPS,
            "the server accepted 40 of the 100 connections that were begun; of the other 60 the "
            "kernel counted 70 drops at a full backlog, which explains them",
        ),
        (
            {"ok": 20, "timeout": 80}, account(20, {"202": 20}), DROPS,
            "the server accepted 20 of the 100 connections that were begun; the kernel counted 70 "
            "drops at a full backlog, which leaves 10 of the other 80 unexplained",
        ),
        (
            {"ok": 9, "timeout": 1}, account(9, {"202": 9}), BLIND,
            "the server accepted 9 of the 10 connections that were begun; what became of the "
            "other 1 only the kernel of its machine knows",
        ),
    ],
)  # fmt: skip
def test_what_must_hold_between_the_accounts(
    outcomes: dict[str, int], server: Server, kernel: Kernel, said: str
) -> None:
    assert told(rows_of(**outcomes), server, kernel) == said


def test_an_account_that_lost_a_part_bounds_the_servers_from_below_alone() -> None:
    rows, server = rows_of(ok=9, unsent=1), account(12, {"202": 12})
    client = client_figures(rows, 0.5, None)
    assert account_warnings(rows, client, QUIET, server, whole=False) == []
    (said,) = account_warnings(rows, client, QUIET, account(8, {"202": 9}), whole=False)
    assert "accepted 8 connections" in said


# ---- point 9: the rate achieved ----------------------------------------------------------------


def answers(intended_s: Any, took_s: Any, code: Any = L.OK) -> Rows:
    """Rows with these times, all sent on time."""
    intended = np.rint(np.asarray(intended_s) * 1e9).astype(np.int64)
    ended = intended + np.rint(np.broadcast_to(took_s, intended.shape) * 1e9).astype(np.int64)
    return Rows(
        start_ns=0, intended=intended, client=np.zeros_like(intended), allowed=intended,
        sent=intended, connected=intended, ended=ended,
        code=np.broadcast_to(code, intended.shape).astype(np.int64), in_flight_max=1,
    )  # fmt: skip


SCHEDULE_S = np.arange(5000) / 1000


def test_one_timeout_does_not_change_the_rate_that_was_achieved() -> None:
    last = np.arange(5000) == 4999
    rows = answers(SCHEDULE_S, np.where(last, 1.0, 0.001), np.where(last, L.TIMEOUT, L.OK))
    assert client_figures(rows, 5.0, None).achieved_rps == pytest.approx(999.8)
    slow = answers(SCHEDULE_S, np.where(last, 0.9, 0.001))
    assert client_figures(slow, 5.0, None).achieved_rps == pytest.approx(999.8)


def test_a_slow_server_that_keeps_up_achieves_what_was_asked_for() -> None:
    assert client_figures(answers(SCHEDULE_S, 0.9), 5.0, None).achieved_rps == 1000.0


def test_what_a_server_answers_when_the_load_is_over_makes_it_no_faster() -> None:
    """500 a second for ten seconds, though a thousand a second are asked for in five."""
    took_s = np.arange(1, 5001) / 500 - SCHEDULE_S
    rows = answers(SCHEDULE_S, took_s)
    assert client_figures(rows, 5.0, None).achieved_rps == pytest.approx(500, rel=0.001)


def test_nothing_answered_is_no_rate() -> None:
    assert client_figures(rows_of(timeout=3), 5.0, None).achieved_rps == 0.0


# ---- point 11: stragglers of a closed loop -----------------------------------------------------


def test_a_closed_loop_ends_though_its_clients_never_catch_up(
    drive: Drive, serve_with: ServeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty requests of 50 ms each, one after the other, have 0.8 s."""
    monkeypatch.setattr(engines, "_STRAGGLERS_NS", 300_000_000)
    over = threading.Event()

    def slowly(connection: socket.socket) -> None:
        over.wait(0.05)
        answering(connection)

    rows = drive(serve_with(slowly), rps=100, clients=3, closed_loop=True, timeout_s=10.0)
    never = rows.code == L.UNSENT + L.DETAIL * L.UNSENT_NEVER_ALLOWED
    assert never.any()
    assert (rows.outcome[~never] == L.OK).all()
    for column in (rows.allowed, rows.sent, rows.ended):
        assert (column[never] == L.NOT_YET).all()
    # In order: what a client has not sent is what it was to send last.
    for client in range(3):
        mine = never[rows.client == client]
        assert (np.diff(mine.astype(int)) >= 0).all()
    assert "reconcile" not in told(rows)


def test_what_was_never_allowed_is_the_servers_limit() -> None:
    rows = rows_of(ok=90, unsent=10)
    never = L.UNSENT + L.DETAIL * L.UNSENT_NEVER_ALLOWED
    rows = replace(rows, code=np.where(rows.outcome == L.UNSENT, never, rows.code))
    client = client_figures(rows, 0.5, None)
    assert client.unsent_causes == {"never allowed": 10}
    assert client.success_rate == 0.9
    # Its user waits for it still: slower than any answer.
    assert client.response_us.p90 is not None
    assert (client.response_us.p95, client.beyond) == (None, ["mean", "p95", "p99", "p999", "max"])
    closed_loop = driver_of("closed-loop")
    assert closed_loop.classify(client, 100, None) == ("server-saturated", None)
    (said,) = failure_causes(rows, client, QUIET)
    assert said == (
        "never allowed: their clients still waited for an earlier answer when the window was long "
        "over: 10 requests"
    )
    # Beside a generator that had no ports it is still the generator's.
    mixed = replace(rows, code=np.where(rows.intended == 0, L.UNSENT + 16 * 3, rows.code))
    kind, why = closed_loop.classify(client_figures(mixed, 0.5, None), 100, None)
    assert kind == "generator-limited"
    assert why == "the generator did not send 1.0% of the requests (no ports: 1)"


def test_a_closed_loop_is_over_before_the_lab_gives_it_up() -> None:
    assert engines._STRAGGLERS_NS / 1e9 + 5 < experiment._LATE_S


# ---- point 10: a generator or Locust that dies makes the trial generator-limited ---------------


def sending(module: str, signal_number: int) -> Watch:
    """Send a signal to this process's child that runs `module`, within the window."""

    def strike(progress: Progress) -> None:
        for pid in running(module):
            os.kill(pid, signal_number)

    return strike


@pytest.mark.parametrize(
    ("module", "changes", "died", "kind"),
    [
        ("harness.drivers.open_loop.worker", {}, "generator", "generator-limited"),
        ("harness.drivers.locust.run", LOCUST, "generator", "generator-limited"),
        ("servers", {}, "server", "server-saturated"),
    ],
    ids=["generator", "Locust", "server"],
)
def test_who_dies_is_whose_limit_the_trial_shows(
    module: str, changes: dict[str, Any], died: str, kind: str
) -> None:
    result = measure(sending(module, signal.SIGKILL), duration_s=20.0, **changes)
    trial = result.trial
    assert (trial.class_, trial.died, trial.valid) == (kind, died, False)
    assert "died (SIGKILL)" in (trial.invalid_reason or "")
    assert result.failure == trial.invalid_reason
    assert trial.client.outcomes.total() == trial.client.scheduled


def test_a_generator_that_does_not_end_in_time_is_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(experiment, "_LATE_S", 1.0)  # seconds to wait for it, not a minute
    trial = measure(
        sending("harness.drivers.open_loop.worker", signal.SIGSTOP), duration_s=4.0
    ).trial
    assert (trial.class_, trial.died) == ("generator-limited", "generator")
    assert trial.invalid_reason == "the generator did not end in time"


# ---- point 13: the sampler's pipe is drained whether or not somebody watches -------------------


@pytest.mark.parametrize("watch", [None, lambda progress: None], ids=["unwatched", "watched"])
def test_a_sampler_never_waits_for_its_reader(
    watch: Watch | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe of one page is full after a dozen looks, as one of 64 KB is in a minute."""
    samplers: list[SamplerProcess] = []

    class Narrow(SamplerProcess):
        def wait_ready(self) -> None:
            super().wait_ready()
            assert self.process.stdout is not None
            fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
            samplers.append(self)

    monkeypatch.setattr(experiment, "SamplerProcess", Narrow)
    result = measure(watch, duration_s=2.0)
    (sampler,) = samplers
    assert result.failure is None
    # One that waits to write at the end of a trial never ends by itself, and is killed.
    assert sampler.process.returncode == 0
    assert len(result.timeline) > 0


# ---- point 12: stage rows that the server dropped ----------------------------------------------


def test_stage_times_of_the_newest_part_say_so_with_the_numbers() -> None:
    whole = ServerWindow(report(), report(), report(5_000, kept=100), [], (0, 1))
    assert window_warnings(whole) == []
    part = ServerWindow(report(), report(), report(5_000, kept=262_144, dropped=37_856), [], (0, 1))
    said = (
        "stage times cover the newest 262,144 of 300,000 requests that were answered 202: the "
        "server keeps no more of them"
    )
    assert window_warnings(part) == [said]
    trial = build_trial(PLANNED, "", 0.5, rows_of(ok=1), None, QUIET, part, None)
    assert said in trial.warnings


# ---- one window for all figures of the server --------------------------------------------------


def test_all_counts_of_the_server_are_of_one_window() -> None:
    """Clients that give up leave the server at work when the generator is done."""
    trial = measure(
        rps=[100.0], backends=["thread-per-request"], workload="io:300ms", timeout_s=0.1
    ).trial
    server = trial.server
    assert server is not None
    requests, switches = server.account, server.context_switches
    assert server.threads_created is not None
    assert server.threads_created == requests.accepted > 0
    ended = requests.answered + requests.timed_out + requests.reset + requests.abandoned
    assert requests.accepted == ended + requests.in_progress
    assert sum(requests.answered_by_status.values()) == requests.answered > 0
    assert switches.voluntary is not None
    assert switches.involuntary is not None
    both = switches.voluntary + switches.involuntary
    assert switches.per_request == pytest.approx(both / requests.answered)
    assert server.threads_active_mean is not None
    assert server.threads_peak is not None
    assert server.threads_active_mean <= server.threads_peak
    # By Little's law: all that they lived, over all that there were, is 0.3 s or more.
    assert server.window_s is not None
    assert server.threads_active_mean * server.window_s >= 0.3 * server.threads_created


def look(at_ms: int) -> Observation:
    """A thousand threads and two thousand switches a second, until 5 s."""
    done = min(at_ms, 5_000)
    sample = Sample(at_ms * 1_000_000, done, 0, 2 * done, 0, done, 0, 0, None, None)
    return Observation(sample, None, None, None, None)


def test_a_straggler_does_not_thin_out_what_happens_a_second() -> None:
    """Five seconds of load, and a second for one request that is not answered."""
    opened, rested = report(), report(6_000, created=5_000, switches=10_000)
    looks = [look(ms) for ms in range(0, 6_001, 100)]
    server = server_figures(ServerWindow(opened, rested, rested, looks, (0, 5_000_000_000)))
    assert server.threads_created_per_s == pytest.approx(1000)
    assert server.context_switches.per_s == pytest.approx(2000)
    assert (server.threads_created, server.window_s) == (5_000, 6.0)
    # A sampler that saw too little of the load says nothing of it: then the window as a whole.
    few = server_figures(ServerWindow(opened, rested, rested, looks[:10], (0, 5_000_000_000)))
    assert few.threads_created_per_s == pytest.approx(5000 / 6)


def test_asking_for_reports_is_in_no_requests_cpu() -> None:
    def spent(ms: int, cpu_us: int, housekeeping_us: int) -> Report:
        made = report(ms)
        return msgspec.structs.replace(
            made,
            process=msgspec.structs.replace(
                made.process, cpu_us=cpu_us, housekeeping_cpu_us=housekeeping_us
            ),
            counters=msgspec.structs.replace(
                made.counters, accepted=100, answered=100 if ms else 0
            ),
        )  # fmt: skip

    opened, closed, rested = spent(0, 0, 0), spent(5_000, 10_000, 50), spent(5_100, 40_000, 30_050)
    server = server_figures(ServerWindow(opened, closed, rested, [], (0, 1)))
    assert server.cpu_us_per_request.total == pytest.approx(100)
    assert server.sampling is not None
    assert server.sampling.cpu_us == 50
