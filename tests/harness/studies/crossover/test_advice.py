"""What to do, in whole numbers; and the objective that may decide instead of the baseline."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.core.record import Crossover, CrossoverPoint, Run, Vary
from harness.studies.capacity.slo import parse_slo
from harness.studies.crossover.estimate import EVEN, advantage, advice
from tests.support import any_server
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun


def crossover(vary: Vary, **point: Any) -> Crossover:
    found = {"bound": "interval", "value": None, "low": None, "high": None, **point}
    line = [CrossoverPoint(rps=400, predicted=16, pairs=9, invalid=0, **found)]
    return Crossover(
        vary=vary, baseline="thread-per-request", contender="thread-pool", rule="",
        prediction="", cells=[], line=line,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("vary", "point", "told"),
    [
        ("workers", {"low": 15.2, "high": 19.4}, "take 20 workers; 16 to 19 may do"),
        ("workers", {"low": 18.2, "high": 19.4}, "take 20 workers; 19 may do"),
        ("workers", {"low": 19.2, "high": 19.4}, "take 20 workers"),
        ("workers", {"low": 16.0, "high": 16.0}, "take 16 workers"),
        ("workers", {"bound": "at-most", "high": 1.3}, "take 2 workers; 1 may do"),
        ("workers", {"bound": "at-least", "low": 511.5}, "more than 511 workers are needed"),
        ("io", {"low": 0.0071, "high": 0.0084}, "take thread-pool while a handler waits up to 7 ms "
         "and thread-per-request once it waits 9 ms or more; between the two either may do"),
        ("cpu", {"bound": "at-least", "low": 0.1}, "take thread-pool while a handler computes up "
         "to 100 ms"),
        ("cpu", {"bound": "at-most", "high": 0.0003}, "take thread-per-request once it computes "
         "300 µs or more"),
    ],
)  # fmt: skip
def test_it_is_in_whole_numbers(vary: Vary, point: dict[str, Any], told: str) -> None:
    (said,) = advice(crossover(vary, **point))
    assert said.startswith(f"At 400 requests/s {told}"), said


def test_nothing_is_advised_where_nothing_is_known() -> None:
    assert advice(crossover("workers", bound="unknown")) == []


def test_an_objective_decides_by_the_contender_alone(reference: Run) -> None:
    one = reference.trials[0]
    quick = replace_p99(one, 9_000.0)
    slow = replace_p99(one, 51_000.0)
    objective = parse_slo("p99<=50ms")
    assert advantage(quick, slow, objective) == quick.backend
    assert advantage(slow, slow, objective) == slow.backend
    assert advantage(quick, quick, objective) == EVEN
    assert advantage(slow, replace_p99(one, 1.0, "contender"), objective) == "contender"


def replace_p99(trial: Any, p99_us: float, backend: str = "baseline") -> Any:
    times = msgspec.structs.replace(trial.client.response_us, p99=p99_us)
    client = msgspec.structs.replace(trial.client, response_us=times, beyond=[])
    return msgspec.structs.replace(trial, client=client, backend=backend, valid=True,
                                   class_="sound")  # fmt: skip


def test_an_objective_that_is_none_is_refused(labrun: Labrun) -> None:
    done = labrun("crossover", "--slo", "fast")
    assert done.returncode == 2
    assert "'fast' is no condition" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "io"], ["--vary io changes what our own handlers do", "{workers}"]),
        (["--vary", "workers"], ["--server b", "{workers}"]),
    ],
)
def test_of_any_server_only_workers_that_its_command_names_can_be_varied(
    labrun: Labrun, arguments: list[str], words: list[str]
) -> None:
    two = ("--server", "a=one {port}", "--server", "b=two {port}")
    assert_one_sentence(labrun("crossover", *arguments, *two), *words)


def test_the_workers_of_a_command_are_varied(labrun: Labrun, tmp_path: Path) -> None:
    serve = f"{sys.executable} {any_server.__file__} good {{port}}"
    done = labrun(
        "crossover", "--vary", "workers", "--rps", "60", "--duration", "0.5", "--budget", "24",
        "--server", f"a={serve}", "--server", f"b={serve} {{workers}}",
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    (file,) = (tmp_path / "results").glob("*/run.json")
    run = json.loads(file.read_bytes())
    assert {trial["backend"] for trial in run["trials"]} == {"a", "b"}
    assert all(trial["workers"] >= 1 for trial in run["trials"])
    assert run["crossover"]["contender"] == "b"
