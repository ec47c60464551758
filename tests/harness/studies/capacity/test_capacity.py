"""`labrun capacity` for real: small searches, a stop in the middle, and slips of the finger."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.commands.searches import budget_words
from harness.designs.stopping import Budget
from tests.support.labrun import Labrun, assert_measured, run_lab
from tests.support.schemas import assert_is_a_run

COMMAND = [sys.executable, "-P", "-m", "harness.cli", "capacity"]
# Few, short trials against handlers that wait, so that the edge is far below the machine's.
SMALL = ["--duration", "0.5", "--warmup", "0.1", "--budget", "24", "--workers", "4"]


def the_run(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The only run below a folder, and its record, which follows the schema."""
    (run,) = (folder / "results").iterdir()
    record: dict[str, Any] = json.loads((run / "run.json").read_text("utf-8"))
    assert_is_a_run(record)
    return run, record


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str, str]:
    """A search for the capacity of a pool of four whose handlers wait 40 ms: 100 requests/s."""
    folder = tmp_path_factory.mktemp("capacity")
    done = run_lab(
        folder, "capacity", *SMALL, "--backends", "thread-pool", "--workload", "io:40ms",
        "--slo", "success>=0.99,p99<=400ms", "--clients", "20",
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    return *the_run(folder), done.stdout, done.stderr


def test_the_record_says_what_was_searched_and_found(
    searched: tuple[Path, dict[str, Any], str, str],
) -> None:
    run, record, _, _ = searched
    capacity = record["capacity"]
    assert record["complete"] is True
    assert capacity["objective"] == "success>=0.99,p99<=400ms"
    (estimate,) = capacity["estimates"]
    trials = record["trials"]
    assert estimate["met"] + estimate["missed"] + estimate["invalid"] == len(trials)
    assert record["settings"]["rps"] == sorted({t["rps"] for t in trials})
    assert capacity["ratios"] == []
    assert len(pd.read_parquet(run / "requests.parquet")) == sum(
        t["client"]["scheduled"] for t in trials
    )


def test_the_verdict_on_a_rate_follows_from_its_trial(
    searched: tuple[Path, dict[str, Any], str, str],
) -> None:
    _, record, _, _ = searched
    met = missed = 0
    beyond = []
    for trial in record["trials"]:
        if not trial["valid"]:
            continue
        client = trial["client"]
        p99 = client["response_us"]["p99"]
        within = client["success_rate"] >= 0.99 and p99 is not None and p99 <= 400_000
        met, missed = met + within, missed + (not within)
        if trial["rps"] >= 400:
            beyond.append(within)
    (estimate,) = record["capacity"]["estimates"]
    assert (estimate["met"], estimate["missed"]) == (met, missed)
    # By Little's law a pool of four serves 100 a second, so four times that is never met; a busy
    # machine may leave no trial valid.
    assert not any(beyond)
    if estimate["bound"] == "interval":
        assert estimate["low_rps"] <= estimate["rps"] <= estimate["high_rps"] < 1000
    elif met + missed == 0:
        assert estimate["bound"] == "unknown"


def test_progress_is_a_line_a_trial_with_the_time_left(
    searched: tuple[Path, dict[str, Any], str, str],
) -> None:
    run, record, out, err = searched
    lines = [line for line in err.splitlines() if line.startswith("trial ")]
    assert len(lines) == len(record["trials"])
    assert all("left" in line for line in lines)
    assert "\x1b[" not in out + err
    assert max(len(line) for line in out.splitlines() if run.name not in line) <= 80
    assert "Highest rate within success>=0.99,p99<=400ms" in out
    assert "cannot see an overload below" in out


def test_a_search_that_time_ended_says_what_was_kept(
    searched: tuple[Path, dict[str, Any], str, str],
) -> None:
    """`capacity --budget 45` stopped at 22 s without a word."""
    _, _, out, _ = searched
    told = " ".join(out.split())
    if "Time ended the search" in told:  # a quick machine may have been content before
        assert re.search(r"\d+ s into --budget \d+: 15 s of it are kept .* may take \d+ s\.", told)


def test_time_that_is_not_enough_for_another_step_is_told() -> None:
    now = [0.0]
    budget = Budget(30.0, 4.0, clock=lambda: now[0])
    while budget.begin_step():
        assert budget_words(budget, 45.0, "trial") == []
        now[0] += 6.0
    assert budget_words(budget, 45.0, "trial") == [
        "Time ended the search, 24 s into --budget 45: 15 s of it are kept for merging the rows "
        "and drawing, and another trial may take 8 s."
    ]


def test_the_chart_is_there(searched: tuple[Path, dict[str, Any], str, str]) -> None:
    run, _, _, _ = searched
    assert {p.name for p in (run / "charts").iterdir()} == {"capacity.png", "capacity.svg"}


def test_ctrl_c_keeps_what_was_measured_and_says_what_is_known(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--duration", "0.5", "--warmup", "0.1"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("trial 1 of about")
    assert process.stderr.readline().startswith("trial 2 of about")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    _, record = the_run(tmp_path)
    assert record["complete"] is False
    assert "interrupted in trial" in record["incomplete_reason"]
    assert len(record["capacity"]["estimates"]) == 2
    assert record["finding"]
    assert "PARTIAL" in out


@pytest.fixture
def refused(labrun: Labrun, tmp_path: Path) -> Callable[..., str]:
    """Run with these arguments: refused in one sentence, which is given back."""

    def run(*arguments: str) -> str:
        done = labrun("capacity", *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "results").exists()
        return done.stderr

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--slo", "p99<=fast"], ["--slo", "'fast' is no time", "p99<=100ms"]),
        (["--slo", "latency<=1ms"], ["'latency' is not known", "p999"]),
        (["--slo", "p99<=5s"], ["cannot be judged", "--timeout"]),
        (["--budget", "1"], ["--budget", "20"]),
        (["--budget", "nan"], ["--budget"]),
        (["--budget", "30", "--duration", "10"], ["--budget 30", "three trials"]),
        (["--backends", "thread-pol"], ["did you mean thread-pool"]),
        (["--duration", "0"], ["--duration"]),
        (["--duration", "3600"], ["a trial holds at most"]),
        (["--workload", "io:soon"], ["--workload", "io:40ms"]),
        (["--rps", "5"], ["--rps", "--help"]),
        (["stray"], ["stray"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence(
    refused: Callable[..., str], arguments: list[str], words: list[str]
) -> None:
    said = refused(*arguments)
    for word in words:
        assert word in said


def test_help_has_an_example(labrun: Labrun) -> None:
    done = labrun("capacity", "--help")
    assert done.returncode == 0
    assert "example: labrun capacity" in done.stdout
