"""A server of several processes in a trial: all are seen, and one that dies spoils no account."""

from __future__ import annotations

import os
import signal
from typing import Any

import msgspec

from harness.core.record import Settings
from harness.designs.trials import plan_trials
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.machine.family import Family, family_cpu_s, family_of
from harness.measure.trial import Progress, TrialResult, run_trial
from tests.support.serving import StartServer, exchange, metric_request, servers

SETTINGS: dict[str, Any] = {
    "rps": [200.0], "backends": ["prefork"], "rounds": 1, "duration_s": 2.0, "warmup_s": 0.0,
    "clients": 10, "timeout_s": 5.0, "arrivals": "poisson", "workload": "ingest",
    "driver": "open-loop", "workers": 4, "queue_size": 10_000, "stack_size_bytes": 2 << 20,
    "backlog": 4096, "rate_limit_per_s": 1000, "lock_stacks": False, "switch_interval_s": None,
    "seed": 1, "processes": 2,
}  # fmt: skip


def measure(kill: bool) -> TrialResult:
    """One trial; `kill`: one of the server's processes, once some have been answered."""
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        if kill and not killed and progress.observations:
            (master,) = (pid for pid in family_of(os.getpid()) if len(family_of(pid)) == 3)
            killed.append(family_of(master)[1])
            os.kill(killed[0], signal.SIGKILL)

    settings = msgspec.convert(SETTINGS, Settings)
    (planned,) = plan_trials(settings)
    result = run_trial(planned, settings, plan_cpus(), raise_descriptor_limit(), watch)
    assert bool(killed) == kill
    return result


def test_a_trial_has_the_figures_of_all_processes() -> None:
    trial = measure(kill=False).trial
    server = trial.server
    assert server is not None
    assert (server.processes, server.processes_replaced) == (2, 0)
    assert (server.threads_peak, server.threads_created) == (8, 0)
    # Of each of two its workers, acceptor and housekeeper; and the master.
    assert server.threads_seen_by_os_peak == 2 * 6 + 1
    assert server.account.accepted == trial.client.scheduled - trial.client.outcomes.unsent
    assert server.cpu_us_per_request.handler is not None
    assert server.cpu_us_per_request.handler > 0


def test_a_process_that_is_killed_in_mid_trial_is_replaced_and_told() -> None:
    result = measure(kill=True)
    trial, server = result.trial, result.trial.server
    assert result.failure is None
    assert server is not None
    assert (server.processes, server.processes_replaced) == (2, 1)
    assert any("1 process of the server died and had to be replaced" in w for w in trial.warnings)
    assert not [w for w in trial.warnings if "do not reconcile" in w]
    outcomes, account = trial.client.outcomes, server.account
    assert account.accepted == account.answered + account.abandoned
    assert outcomes.ok <= account.answered
    assert account.abandoned <= outcomes.reset


def test_all_processes_of_a_server_are_seen() -> None:
    with servers() as start:
        looked_at(start)


def looked_at(start: StartServer) -> None:
    one, two = start("thread-pool", "--workers=4"), start("prefork", "--processes=2", "--workers=4")
    assert family_of(one.pid) == [one.pid]
    assert family_of(two.pid) == [two.pid, *two.serving()]
    before = family_cpu_s(two.pid)
    assert exchange(two.port, metric_request()).status == 202
    after = family_cpu_s(two.pid)
    assert before is not None
    assert after is not None
    assert after > before
    alone, together = Family(one.pid).look(), Family(two.pid).look()
    assert (alone.threads, together.threads) == (6, 13)
    assert alone.rss_bytes < together.rss_bytes < 2 * alone.rss_bytes
