"""`labrun compare` for real: small runs, and runs to which something happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from harness.core.record import OUTCOMES, SCHEMA_VERSION
from tests.support.labrun import Labrun, assert_measured, run_lab
from tests.support.schemas import assert_is_a_run

Start = Callable[..., "subprocess.Popen[str]"]
COMMAND = [sys.executable, "-P", "-m", "harness.cli", "compare", "--design", "trials"]
SHORT = ["--rounds", "1", "--duration", "0.5", "--warmup", "0.1", "--bare"]


def the_run(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The only run below a folder, and its record."""
    (run,) = (folder / "results").iterdir()
    record: dict[str, Any] = json.loads((run / "run.json").read_text("utf-8"))
    return run, record


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `labrun compare` in an empty folder; nothing of it is left at the end."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_children(process: subprocess.Popen[str], count: int) -> list[psutil.Process]:
    """Until `process` has that many children: server, generator, sampler."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, process.args
        children = psutil.Process(process.pid).children()
        if len(children) >= count:
            return children
        time.sleep(0.02)  # the operating system tells nobody of another's children
    pytest.fail(f"{process.args!r} never had {count} children")


def assert_all_end(children: list[psutil.Process], within_s: float) -> None:
    _, left = psutil.wait_procs(children, timeout=within_s)
    assert [p for p in left if not has_ended(p)] == []


def has_ended(process: psutil.Process) -> bool:
    """Gone, or a zombie: ended, and its new parent has not asked for its exit status yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def child(children: list[psutil.Process], module: str) -> psutil.Process:
    (found,) = (c for c in children if module in c.cmdline())
    return found


@pytest.fixture(scope="module")
def two_levels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """One small run over two levels and two rounds: its folder, record and standard output."""
    folder = tmp_path_factory.mktemp("two-levels")
    done = run_lab(folder, "compare", "--design", "trials", "--rps", "200,800", "--rounds", "2",
                   "--duration", "0.5", "--warmup", "0.1")  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    return *the_run(folder), done.stdout


def test_the_record_is_valid_and_complete(two_levels: tuple[Path, dict[str, Any], str]) -> None:
    _, record, _ = two_levels
    assert_is_a_run(record)
    assert record["complete"] is True
    assert record["schema"] == SCHEMA_VERSION
    assert len(record["trials"]) == 2 * 2 * 2
    assert {c["rps"] for c in record["cells"]} == {200.0, 800.0}


def test_every_scheduled_request_is_accounted_for_and_the_server_agrees(
    two_levels: tuple[Path, dict[str, Any], str],
) -> None:
    _, record, _ = two_levels
    for trial in record["trials"]:
        client, server = trial["client"], trial["server"]
        outcomes, requests = client["outcomes"], server["requests"]
        assert client["scheduled"] == sum(outcomes[name] for name in OUTCOMES)
        # Of who gave up, since the machine stood still, the server may know or not.
        begun = client["scheduled"] - outcomes["unsent"] - outcomes["refused"]
        gave_up = outcomes["timeout"] + outcomes["reset"]
        assert begun - gave_up <= requests["accepted"] <= begun
        ended = ("answered", "timed_out", "reset", "abandoned", "in_progress")
        assert requests["accepted"] == sum(requests[name] for name in ended)
        assert requests["answered_by_status"].keys() <= {"202"}
        assert outcomes["ok"] <= requests["answered"] <= outcomes["ok"] + gave_up
        assert not [said for said in trial["warnings"] if "reconcile" in said]


def test_both_backends_of_a_round_got_the_same_schedule(
    two_levels: tuple[Path, dict[str, Any], str],
) -> None:
    run, _, _ = two_levels
    rows = pd.read_parquet(run / "requests.parquet")
    for _, group in rows.groupby(["level", "round"]):
        first, second = (part for _, part in group.groupby("slot"))
        assert first["intended_us"].tolist() == second["intended_us"].tolist()
        assert first["client"].tolist() == second["client"].tolist()


def test_the_raw_rows_and_the_record_tell_the_same(
    two_levels: tuple[Path, dict[str, Any], str],
) -> None:
    run, record, _ = two_levels
    rows = pd.read_parquet(run / "requests.parquet")
    assert {
        "backend", "level", "round", "client", "intended_us",
        "lag_us", "connect_us", "response_us", "outcome", "status",
    } <= set(rows.columns)  # fmt: skip
    assert len(rows) == sum(t["client"]["scheduled"] for t in record["trials"])
    trial = record["trials"][0]
    mine = rows[
        (rows["slot"] == trial["slot"])
        & (rows["level"] == trial["rps"])
        & (rows["round"] == trial["round"])
    ]
    ok = mine[mine["outcome"] == "ok"]
    assert len(ok) == trial["client"]["outcomes"]["ok"]
    assert ok["response_us"].max() == pytest.approx(trial["client"]["response_us"]["max"])


def test_what_the_server_says_of_its_threads_fits_the_architecture(
    two_levels: tuple[Path, dict[str, Any], str],
) -> None:
    _, record, _ = two_levels
    for trial in record["trials"]:
        server = trial["server"]
        if trial["backend"] == "thread-pool":
            assert (server["threads_created"], server["threads_peak"]) == (0, 16)
            assert server["queue_depth_max"] is not None
            assert server["memory"]["stack_reserved_bytes"] == 16 * 2 * 1024 * 1024
        else:
            assert server["threads_created"] == server["requests"]["accepted"]
            assert server["queue_depth_mean"] is None
        assert server["threads_active_mean"] > 0
        assert server["threads_seen_by_os_peak"] >= 2
        assert server["context_switches"]["voluntary"] > 0
        assert server["stages_us"]["parse"]["p50"] > 0
        assert server["cpu_us_per_request"]["overhead"] > 0


def test_each_trial_has_a_fresh_server(two_levels: tuple[Path, dict[str, Any], str]) -> None:
    _, record, _ = two_levels
    pids = [trial["server"]["pid"] for trial in record["trials"]]
    assert len(set(pids)) == len(pids)


def test_the_timeline_has_rows_at_steps_of_100_ms_that_add_up(
    two_levels: tuple[Path, dict[str, Any], str],
) -> None:
    """How many looks there were is up to the machine; that they are in order, at whole steps, and
    saw no more than there was, is not."""
    run, record, _ = two_levels
    timeline = pd.read_parquet(run / "timeline.parquet")
    for trial in record["trials"]:
        mine = timeline[
            (timeline["slot"] == trial["slot"])
            & (timeline["level"] == trial["rps"])
            & (timeline["round"] == trial["round"])
        ]
        assert len(mine) < trial["server"]["sampling"]["samples"]
        assert (mine["t_ms"] % 100 == 0).all()
        assert mine["t_ms"].is_monotonic_increasing
        for column, counted in (
            ("accepted", trial["server"]["requests"]["accepted"]),
            ("threads_created", trial["server"]["threads_created"]),
        ):
            assert (mine[column] >= 0).all()
            assert mine[column].sum() <= counted
    assert len(timeline) > 0


def test_the_folder_holds_the_charts_and_no_left_overs(
    two_levels: tuple[Path, dict[str, Any], str],
) -> None:
    run, _, _ = two_levels
    charts = {p.name for p in (run / "charts").iterdir()}
    for name in ("distribution", "success", "storm", "cost"):
        assert {f"{name}.png", f"{name}.svg"} <= charts
    assert not list(run.rglob("*.tmp"))
    assert not (run / ".parts").exists()


def test_the_table_fits_80_columns_and_says_too_few_rounds(
    two_levels: tuple[Path, dict[str, Any], str],
) -> None:
    run, record, out = two_levels
    lines = [line for line in out.splitlines() if run.name not in line]
    assert max(map(len, lines)) <= 80
    for words in ("Overhead CPU/request", "Latency, p99", "accounted for"):
        assert words in out
    # On a machine that is too busy for the generator there may be no pair to make a ratio of.
    paired = any(c["ratio"] is not None for c in record["comparisons"])
    assert ("too few rounds" if paired else "not compared") in out


def test_json_on_standard_output_is_the_record_alone(start: Start) -> None:
    out, _ = start("--rps", "300", *SHORT, "--json", "-").communicate(timeout=60)
    record = json.loads(out)
    assert_is_a_run(record)
    assert [t["backend"] for t in record["trials"]] == ["thread-per-request", "thread-pool"]


def test_a_bare_run_is_what_a_report_can_be_made_of(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("compare", "--rps", "1000", *SHORT)
    assert_measured(done.returncode, done.stderr)
    run, _ = the_run(tmp_path)
    rows = {f"{name}.parquet" for name in ("requests", "timeline", "blocks")}
    assert {p.name for p in run.iterdir()} == {"run.json", *rows}
    assert labrun("report", str(run)).returncode == 0
    assert (run / "report.html").exists()


def test_a_backend_against_itself_is_a_control(start: Start, tmp_path: Path) -> None:
    process = start("--rps", "300", *SHORT, "--backends", "thread-pool,thread-pool")
    out, err = process.communicate(timeout=60)
    assert_measured(process.returncode, err)
    assert "\x1b[" not in out  # it goes to a pipe
    _, record = the_run(tmp_path)
    assert [t["slot"] for t in record["trials"]] == [0, 1]
    # A machine too busy for the generator can leave nothing to say anything of, and that is said.
    valid = any(t["valid"] for t in record["trials"])
    assert ("was run against itself" if valid else "no trial was valid") in " ".join(out.split())


def test_one_backend_alone_is_measured_without_a_comparison(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("compare", "--design", "trials", "--rps", "300", *SHORT,
                  "--backends", "thread-pool")  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    _, record = the_run(tmp_path)
    assert record["comparisons"] == []
    assert len(record["cells"]) == 1


def test_more_than_the_generator_can_send_is_invalid_and_not_compared(
    labrun: Labrun, tmp_path: Path
) -> None:
    done = labrun("compare", "--design", "trials", "--rps", "60000", "--rounds", "1",
                  "--duration", "0.5", "--warmup", "0", "--timeout", "0.3", "--bare")  # fmt: skip
    assert done.returncode == 1, done.stderr
    told = "labrun: nothing was compared: 2 of 2 trials are not valid, the first: the gen"
    assert told in done.stderr
    _, record = the_run(tmp_path)
    for trial in record["trials"]:
        assert (trial["class"], trial["valid"]) == ("generator-limited", False)
        assert "generator" in trial["invalid_reason"]
        client = trial["client"]
        assert client["scheduled"] == sum(client["outcomes"][name] for name in OUTCOMES)
    assert {c["verdict"] for c in record["comparisons"]} == {"not-comparable"}
    assert "Lower the rate" in " ".join(done.stdout.split())  # a line may end anywhere


def test_ctrl_c_saves_the_trials_so_far_and_leaves_no_process(start: Start, tmp_path: Path) -> None:
    process = start("--rps", "300", "--rounds", "50", "--duration", "0.5", "--warmup", "0.2",
                    "--bare")  # fmt: skip
    assert process.stderr is not None
    assert "trial 1/100" in process.stderr.readline()
    children = wait_for_children(process, 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert_all_end(children, 20)
    run, record = the_run(tmp_path)
    assert_is_a_run(record)
    assert record["complete"] is False
    assert "interrupted in trial" in record["incomplete_reason"]
    assert 1 <= len(record["trials"]) < 100
    assert len(pd.read_parquet(run / "requests.parquet")) == sum(
        t["client"]["scheduled"] for t in record["trials"]
    )


def test_ctrl_c_before_the_first_trial_is_over_leaves_no_folder_behind(
    start: Start, tmp_path: Path
) -> None:
    process = start("--rps", "300", "--duration", "30")
    children = wait_for_children(process, 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert_all_end(children, 20)


def test_a_parent_that_is_killed_takes_its_children_with_it(start: Start) -> None:
    process = start("--rps", "300", "--duration", "60")
    children = wait_for_children(process, 3)
    process.kill()
    process.wait(20)
    assert_all_end(children, 20)


def test_a_server_that_dies_in_mid_trial_ends_the_run_as_partial(
    start: Start, tmp_path: Path
) -> None:
    process = start("--rps", "300", "--duration", "30", "--warmup", "0")
    server = child(wait_for_children(process, 3), "servers")
    time.sleep(1.0)  # into the measured window; nothing outside tells when it begins
    os.kill(server.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the server died (SIGKILL)" in err
    assert "Traceback" not in err
    _, record = the_run(tmp_path)
    assert_is_a_run(record)
    assert record["complete"] is False
    (trial,) = record["trials"]
    assert not trial["valid"]
    assert re.search("server died", trial["invalid_reason"])
    assert trial["client"]["scheduled"] == sum(
        trial["client"]["outcomes"][name] for name in OUTCOMES
    )
