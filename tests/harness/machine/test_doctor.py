"""`labrun doctor`: its judgement on machines as they may be, and the command on this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.core.record import Environment, Finding
from harness.machine.cpus import plan_cpus
from harness.machine.doctor import examine, is_sound, warning
from harness.machine.environment import read_environment
from harness.machine.probe import Probe, probe
from tests.support.labrun import run_lab_here

PLAN = plan_cpus(frozenset({0, 1}))
ALONE = plan_cpus(frozenset({0}))
QUIET = Probe(
    busy_cpus=0.01, busiest=None, stolen=0.0, can_pin=True, cpu_quota=None, time_wait=10,
    most_time_wait=131_072, available_bytes=8 << 30, wait_late_us=(60.0, 200.0),
    clock_read_ns=50.0, debug_build=False, optimised_build=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def good() -> Environment:
    """This machine's environment with everything that is judged as it should be."""
    return msgspec.structs.replace(
        read_environment(PLAN), cpu_count=2, governor="performance", virtualisation=None,
        nofile_hard=1_048_576, somaxconn=4096, port_range=[32768, 60999], clock_source="tsc",
        timer_slack_ns=50_000, switch_interval_s=0.005, gil_enabled=True,
    )  # fmt: skip


def judged(environment: Environment, looked: Probe = QUIET, **changes: Any) -> dict[str, Finding]:
    asked: dict[str, Any] = {"rps": 10_000.0, "clients": 100, "timeout_s": 1.0, "cpus": PLAN}
    found = examine(environment, looked, **(asked | changes))
    assert len({finding.check for finding in found}) == len(found)
    return {finding.check: finding for finding in found}


def test_a_machine_without_fault_is_sound(good: Environment) -> None:
    found = judged(good)
    assert {finding.level for finding in found.values()} == {"good"}
    assert is_sound(list(found.values()))


@pytest.mark.parametrize(
    ("changes", "check", "level", "words"),
    [
        ({"cpu_count": 1}, "CPUs", "spoils", "two or more"),
        ({"governor": "powersave"}, "governor", "doubtful", "cpupower"),
        ({"nofile_hard": 4096}, "descriptors", "spoils", "ulimit -Hn 10240"),
        ({"somaxconn": 128}, "somaxconn", "doubtful", "net.core.somaxconn=4096"),
        ({"port_range": [32768, 33767]}, "port range", "spoils", "ip_local_port_range"),
        ({"switch_interval_s": 0.1}, "switch interval", "doubtful", "--switch-interval"),
    ],
)
def test_what_the_environment_says_is_judged(
    good: Environment, changes: dict[str, Any], check: str, level: str, words: str
) -> None:
    found = judged(msgspec.structs.replace(good, **changes))
    assert found[check].level == level
    assert words in warning(found[check])
    assert {f.level for name, f in found.items() if name != check} == {"good"}
    assert is_sound(list(found.values())) == (level != "spoils")


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"busy_cpus": 0.2, "busiest": "backup"}, "load", "doubtful"),
        ({"busy_cpus": 0.9, "busiest": "backup"}, "load", "spoils"),
        ({"stolen": 0.05}, "virtualisation", "doubtful"),
        ({"can_pin": False}, "pinning", "spoils"),
        ({"cpu_quota": 0.5}, "CPU quota", "spoils"),
        ({"time_wait": 100_000}, "TIME_WAIT", "doubtful"),
        ({"available_bytes": 700 << 20}, "memory", "doubtful"),
        ({"available_bytes": 100 << 20}, "memory", "spoils"),
        ({"wait_late_us": (800.0, 4000.0)}, "timer", "doubtful"),
        ({"wait_late_us": (4000.0, 9000.0)}, "timer", "spoils"),
        ({"clock_read_ns": 3000.0}, "clock source", "doubtful"),
        ({"debug_build": True}, "Python build", "spoils"),
        ({"optimised_build": False}, "Python build", "doubtful"),
    ],
)
def test_what_is_read_and_timed_is_judged(
    good: Environment, changes: dict[str, Any], check: str, level: str
) -> None:
    found = judged(good, replace(QUIET, **changes))
    assert found[check].level == level
    assert found[check].mend
    assert {f.level for name, f in found.items() if name != check} == {"good"}


def test_the_limits_follow_the_rate(good: Environment) -> None:
    few = msgspec.structs.replace(good, nofile_hard=4096, port_range=[32768, 33767])
    assert is_sound(list(judged(few, rps=500.0).values()))
    assert not is_sound(list(judged(few, rps=10_000.0).values()))


def test_what_the_machine_does_not_say_is_not_held_against_it(good: Environment) -> None:
    silent = msgspec.structs.replace(
        good, governor=None, somaxconn=None, port_range=None, clock_source=None,
        timer_slack_ns=None, virtualisation=None,
    )  # fmt: skip
    mute = replace(
        QUIET, stolen=None, cpu_quota=None, time_wait=None, most_time_wait=None,
        optimised_build=None,
    )  # fmt: skip
    assert {finding.level for finding in judged(silent, mute).values()} == {"good"}


def test_one_cpu_is_never_sound(good: Environment) -> None:
    alone = msgspec.structs.replace(good, cpu_count=1)
    assert not is_sound(list(judged(alone, cpus=ALONE, rps=1.0).values()))


def test_the_probe_reads_this_machine() -> None:
    looked = probe(plan_cpus())
    assert looked.busy_cpus >= 0
    assert looked.available_bytes > 0
    assert 0 <= looked.wait_late_us[0] <= looked.wait_late_us[1]
    assert looked.clock_read_ns > 0


def test_the_command_tells_every_finding_and_its_status_follows(
    labrun: Callable[..., Any],
) -> None:
    done = labrun("doctor", "--rps", "300", "--duration", "0.5", "--json")
    told = json.loads(done.stdout)
    levels = [finding["level"] for finding in told["findings"]]
    assert told["sound"] == ("spoils" not in levels)
    assert done.returncode == (0 if told["sound"] else 1)
    assert {"CPUs", "load", "generator"} <= {finding["check"] for finding in told["findings"]}
    done = labrun("doctor", "--rps", "300", "--duration", "0")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "port range" in done.stdout
    assert ("would be sound" in done.stdout) == (done.returncode == 0)


def test_too_few_descriptors_end_with_one(labrun: Callable[..., Any]) -> None:
    done = labrun("doctor", "--duration", "0", limit_files=3000)
    assert done.returncode == 1
    assert "ulimit" in done.stdout
    assert "would not be sound here (" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--rps", "0"], "--rps"), (["--rps", "many"], "--rps"), (["--duration", "-1"], "--duration")],
)
def test_bad_input_is_one_sentence(tmp_path: Path, arguments: list[str], word: str) -> None:
    done = run_lab_here(tmp_path, "doctor", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert word in done.stderr
