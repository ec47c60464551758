"""`--generators N`: several processes that send as one, each for its own clients."""

from __future__ import annotations

import os
import signal
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from harness.core.record import GeneratorShare, Lag, Settings
from harness.designs.trials import plan_trials
from harness.drivers import request_log as L
from harness.drivers.driver import driver_of
from harness.drivers.open_loop.several import joined_summary
from harness.drivers.open_loop.worker import Opened, ProcessCost, Summary
from harness.drivers.schedule import make_schedule, phase_log_of
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.request_rows import phase_rows
from harness.measure.trial import Progress, TrialResult, run_trial
from tests.harness.measure.test_processes import SETTINGS
from tests.support.labrun import Labrun, assert_measured
from tests.support.made import make_trial

CLIENTS = 10
ONE = SETTINGS | {"backends": ["thread-pool"], "processes": None, "duration_s": 1.0}


def senders() -> list[int]:
    """The processes of this one that send, in the order in which they were started."""
    return sorted(
        child.pid
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "harness.drivers.open_loop.worker" in child.cmdline()
    )


def measured(generators: int, kill: int | None = None, **changes: Any) -> TrialResult:
    """One trial; `kill`: the sender of that number (from 1), once some have been answered."""
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        if kill is not None and not killed and progress.observations:
            killed.append(senders()[kill - 1])
            os.kill(killed[0], signal.SIGKILL)

    settings = msgspec.convert(ONE | {"generators": generators} | changes, Settings)
    (planned,) = plan_trials(settings)
    result = run_trial(planned, settings, plan_cpus(), raise_descriptor_limit(), watch)
    assert bool(killed) == (kill is not None)
    return result


def test_every_request_is_in_one_log_and_together_they_are_the_schedule() -> None:
    schedule = make_schedule(500, 2, CLIENTS, "poisson", 7)
    log = phase_log_of(schedule, 3)
    for number, part in enumerate(log.parts):
        clients = np.frombuffer(part.column(L.CLIENT), dtype=np.int64)
        assert set(clients % 3) == {number}
    rows = phase_rows(log)
    log.close()
    assert rows.intended.tolist() == schedule.intended_ns.tolist()
    assert rows.client.tolist() == schedule.client.tolist()


def test_accounts_are_equal_with_one_two_and_three() -> None:
    scheduled = set()
    for generators in (1, 2, 3):
        trial = measured(generators).trial
        client, server = trial.client, trial.server
        assert server is not None
        assert server.account.accepted == client.scheduled - client.outcomes.unsent
        assert not [told for told in trial.warnings if "do not reconcile" in told]
        parts = client.generators
        assert len(parts) == (0 if generators == 1 else generators)
        assert sum(part.scheduled for part in parts) in (0, client.scheduled)
        assert all((part.cpu_share or 0) > 0 and part.start_late_us >= 0 for part in parts)
        scheduled.add(client.scheduled)
    assert len(scheduled) == 1


def test_connections_that_stay_belong_to_the_process_of_their_client() -> None:
    client = measured(2, connections="keep-alive", warmup_s=0.2).trial.client
    kept, outcomes = client.connections, client.outcomes
    assert kept is not None
    sent = client.scheduled - outcomes.unsent - outcomes.refused
    assert kept.opened + kept.reused == sent + kept.retried


def test_one_that_dies_ends_the_trial_at_once_and_is_named() -> None:
    result = measured(2, kill=2, duration_s=30.0)
    assert result.failure == "the generator 2 of 2 died (SIGKILL)"
    trial = result.trial
    assert (trial.valid, trial.died) == (False, "generator")
    assert len(result.requests) == trial.client.scheduled
    assert trial.client.outcomes.unsent > 0  # what nobody sent any more
    assert not senders()


def test_the_one_that_was_late_is_named() -> None:
    share = GeneratorShare(scheduled=1, lag_us=Lag(p50=1.0, p99=90.0, max=90.0), cpu_share=0.5,
                           start_late_us=0.0)  # fmt: skip
    late = msgspec.structs.replace(share, lag_us=Lag(p50=1.0, p99=4000.0, max=5000.0))
    client = make_trial(0, 1).client
    for parts, expected in (([share, share], "sound"), ([share, late], "generator-limited")):
        kind, why = driver_of("open-loop").classify(
            msgspec.structs.replace(client, generators=parts), 100.0, None
        )
        assert kind == expected
    assert why == "generator 2 of 2 was 4.0 ms late at p99 (limit 1 ms)"


def test_what_each_says_is_summed() -> None:
    said = [
        Summary(10, 4, 1, closed_by_server=2, connections=Opened(1, 2, 3), start_late_ns=late)
        for late in (0, 7)
    ]
    assert joined_summary(said) == Summary(
        20, 8, 2, closed_by_server=4, connections=Opened(2, 4, 6),
        processes=[ProcessCost(10, 4, 0), ProcessCost(10, 4, 7)],
    )  # fmt: skip


def test_each_has_a_cpu_where_there_are_enough() -> None:
    plan = plan_cpus(frozenset(range(8)), generators=3)
    assert (plan.server, plan.observers) == (frozenset(range(4)), frozenset({4}))
    assert plan.generator == frozenset({5, 6, 7})
    assert plan_cpus(frozenset(range(4)), generators=3) == plan_cpus(frozenset(range(4)))


def test_a_run_in_blocks_says_how_they_sent(labrun: Labrun) -> None:
    done = labrun("compare", "--generators", "2", "--rps", "200", "--rounds", "1", "--duration",
                  "1", "--warmup", "0.2", "--bare")  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    said = " ".join(done.stdout.split())
    assert "2 processes sent, each for its own clients" in said
    assert "For their common start all were in time." in said or "was ready" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--generators", "0"], "--generators must be from 1 to 64, not 0"),
        (["--generators", "65"], "--generators must be from 1 to 64, not 65"),
        (["--generators", "3", "--clients", "2"], "2 clients cannot be shared by that many"),
        (["--generators", "2", "--driver", "locust"], "its processes are --locust-workers"),
    ],
)
def test_what_cannot_be_is_one_sentence(labrun: Labrun, arguments: list[str], words: str) -> None:
    done = labrun("compare", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
