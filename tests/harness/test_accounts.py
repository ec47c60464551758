"""Accounts that must agree, and whose fault it is when they end early.

Issue 12, part B (accounts), points 4 and 8 to 13.
"""

from __future__ import annotations

import fcntl
import os
import signal
from typing import Any

import msgspec
import psutil
import pytest

from harness.experiment import trial as experiment
from harness.experiment.cpus import plan_cpus
from harness.experiment.plan import plan_trials
from harness.experiment.processes import SamplerProcess
from harness.experiment.run import raise_descriptor_limit
from harness.experiment.trial import Progress, TrialResult, Watch, run_trial
from harness.record import Settings

SETTINGS: dict[str, Any] = {
    "rps": [200.0], "backends": ["thread-pool"], "rounds": 1, "duration_s": 1.0, "warmup_s": 0.0,
    "clients": 10, "timeout_s": 1.0, "arrivals": "poisson", "workload": "ingest",
    "driver": "open-loop", "workers": 16, "queue_size": 10_000, "stack_size_bytes": 2 << 20,
    "backlog": 4096, "rate_limit_per_s": 1000, "lock_stacks": False, "switch_interval_s": None,
    "seed": 1,
}  # fmt: skip
LOCUST = {"driver": "locust", "user_class": "socket", "locust_workers": 0}


def measure(watch: Watch | None = None, **changes: Any) -> TrialResult:
    """One trial for real."""
    settings = msgspec.convert(SETTINGS | changes, Settings)
    (planned,) = plan_trials(settings)
    return run_trial(planned, settings, plan_cpus(), raise_descriptor_limit(), watch)


# ---- point 10: a generator or Locust that dies makes the trial generator-limited ---------------


def sending(module: str, signal_number: int) -> Watch:
    """Send a signal to this process's child that runs `module`, within the window."""

    def strike(progress: Progress) -> None:
        for child in psutil.Process().children():
            if module in child.cmdline():
                os.kill(child.pid, signal_number)

    return strike


@pytest.mark.parametrize(
    ("module", "changes", "died", "kind"),
    [
        ("harness.load.worker", {}, "generator", "generator-limited"),
        ("harness.load.locust_run", LOCUST, "generator", "generator-limited"),
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
    trial = measure(sending("harness.load.worker", signal.SIGSTOP), warmup_s=0.0).trial
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
    result = measure(watch, duration_s=3.0)
    (sampler,) = samplers
    assert result.failure is None
    # One that waits to write at the end of a trial never ends by itself, and is killed.
    assert sampler.process.returncode == 0
    assert len(result.timeline) > 0
