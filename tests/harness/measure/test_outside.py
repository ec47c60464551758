"""Servers by command, measured as a person does: one run in blocks, one in whole trials."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.lab import load_run
from tests.support import any_server
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun, assert_measured, run_lab

COMMAND = f"{sys.executable} {any_server.__file__}"
SHORT = ("--rps", "60", "--rounds", "1", "--duration", "0.5", "--warmup", "0.2", "--timeout", "20")


def server(behaviour: str) -> tuple[str, str]:
    return ("--server", f"{behaviour}={COMMAND} {behaviour} {{port}}")


@pytest.fixture(scope="module", params=["blocks", "trials"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("outside")
    arms = (*server("good"), *server("hangs-on"), "--backends", "thread-pool")
    # Pictures and report are made once; of the other design the storm alone, where it is read.
    bare = ("--bare",) if request.param == "trials" else ()
    done = run_lab(folder, "compare", *SHORT, *arms, "--design", request.param, *bare)
    assert_measured(done.returncode, done.stderr)
    (file,) = (folder / "results").glob("*/run.json")
    return file.parent, json.loads(file.read_bytes()), done.stdout


def test_each_answers_all_and_all_are_seen_from_outside(
    made: tuple[Path, dict[str, Any], str],
) -> None:
    _, run, _ = made
    assert run["settings"]["backends"] == ["thread-pool", "good", "hangs-on"]
    assert [trial["backend"] for trial in sorted(run["trials"], key=lambda t: t["slot"])] == (
        run["settings"]["backends"]
    )
    for trial in run["trials"]:
        outcomes, seen = trial["client"]["outcomes"], trial["server"]
        assert outcomes["ok"] == trial["client"]["scheduled"] - outcomes["unsent"]
        assert seen["instrument"] == "outside"
        assert seen["cpu_us_per_request"]["total"] > 0
        assert seen["memory"]["rss_peak_bytes"] > 0
        assert seen["threads_seen_by_os_peak"] >= 1


def test_switches_and_births_are_counted_in_a_load_of_their_own(
    made: tuple[Path, dict[str, Any], str],
) -> None:
    _, run, said = made
    for trial in run["trials"]:
        seen, blocks = trial["server"], trial["blocks"]
        assert all(block["context_switches_per_request"] is None for block in blocks)
        if "context_switches.per_request" in seen["missing"]:  # the machine does not permit it
            assert seen["context_switches"]["per_request"] is seen["threads_created"] is None
            continue
        assert seen["context_switches"]["per_request"] > 0
        assert "a load of their own" in " ".join(said.split())
        if trial["backend"] == "thread-pool":
            assert seen["threads_created"] == 0


def test_what_only_a_server_could_say_is_null_with_the_reason(
    made: tuple[Path, dict[str, Any], str],
) -> None:
    _, run, said = made
    for trial in run["trials"]:
        seen = trial["server"]
        assert seen["efficiency"] is seen["stages_us"] is seen["requests"] is None
        assert "efficiency" in seen["missing"]
        assert "requests" in seen["missing"]
    assert "seen from outside" in " ".join(said.split())


def test_the_timeline_has_what_was_seen_and_null_for_the_rest(
    made: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    folder, run, _ = made
    steps = load_run(folder).timeline
    for trial in run["trials"]:
        mine = steps[steps["slot"] == trial["slot"]]
        assert (mine["threads_seen_by_os"] >= 1).all()
        assert (mine["rss_bytes"] > 0).all()
        assert mine["cpu_us"].sum() > 0
        assert mine["t_ms"].is_monotonic_increasing
        for name in ("threads_created", "threads_active", "queue_depth", "accepted"):
            assert mine[name].isna().all()
    assert set(steps["slot"]) == {0, 1, 2}
    drawn = run["settings"]["design"] == "blocks"
    assert (folder / "charts" / "storm.svg").exists() == drawn
    load_run(folder).plot("storm").save(tmp_path / "storm.svg")
    picture = (tmp_path / "storm.svg").read_text("utf-8")
    assert "threads alive" in picture
    assert "CPU time in 100 ms" in picture


def test_who_closed_is_on_record(made: tuple[Path, dict[str, Any], str]) -> None:
    _, run, _ = made
    closed = {trial["backend"]: trial["client"]["closed_by_server"] for trial in run["trials"]}
    assert closed["hangs-on"] == 0
    assert closed["thread-pool"] is not None


def test_the_record_says_what_was_run_and_what_it_printed(
    made: tuple[Path, dict[str, Any], str],
) -> None:
    folder, run, _ = made
    assert [each["name"] for each in run["settings"]["servers"]] == ["good", "hangs-on"]
    assert run["settings"]["servers"][0]["command"][-2:] == ["good", "{port}"]
    logs = sorted(file.name for file in (folder / "servers").iterdir())
    assert logs == ["1-thread-pool.log", "2-good.log", "3-hangs-on.log"]
    assert load_run(folder).run.settings.outside


def test_a_refusal_comes_before_the_first_trial_and_leaves_nothing(
    labrun: Labrun, tmp_path: Path
) -> None:
    done = labrun("compare", *SHORT, *server("not-found"), *server("good"))
    assert done.stdout == ""
    assert_one_sentence(done, "server not-found answers 404 to POST /metrics")
    assert list((tmp_path / "results").iterdir()) == []


def test_one_that_answers_otherwise_after_a_restart_is_found_before_load(
    labrun: Labrun, tmp_path: Path
) -> None:
    """Only the first round was looked at, and the second was a load of 404."""
    twice = ("--rps", "60", "--rounds", "2", *SHORT[4:], "--bare")
    marker = ("--env", f"MARKER={tmp_path / 'started'}")
    done = labrun("compare", *twice, *server("good"), *server("forgets"), *marker)
    assert done.returncode == 2, done.stderr
    assert "the server forgets answers 404 to POST /metrics" in done.stderr
    (file,) = (tmp_path / "results").glob("*/run.json")
    run = json.loads(file.read_bytes())
    assert [trial["round"] for trial in run["trials"]] == [1, 1]
    assert run["refused"] == 1


def test_one_that_dies_is_told_with_its_last_line(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("compare", *SHORT[:-6], "--duration", "6", *server("dies"),
                  "--design", "trials", "--bare")  # fmt: skip
    assert done.returncode == 2
    assert "server dies died (exit status 3): out of memory" in done.stderr


def test_a_server_that_runs_is_measured_by_its_answers_alone(
    labrun: Labrun, tmp_path: Path, any_good: int
) -> None:
    done = labrun("compare", *SHORT, "--url", f"live=http://127.0.0.1:{any_good}", *server("good"))
    assert_measured(done.returncode, done.stderr)
    (file,) = (tmp_path / "results").glob("*/run.json")
    live, good = sorted(json.loads(file.read_bytes())["trials"], key=lambda t: t["slot"])[::-1]
    assert live["backend"] == "live"
    assert live["client"]["outcomes"]["ok"] > 0
    assert live["server"]["cpu_us_per_request"]["total"] is None
    assert "not started by the lab" in live["server"]["missing"]["cpu_us_per_request.total"]
    assert good["server"]["cpu_us_per_request"]["total"] > 0


@pytest.fixture
def any_good() -> Iterator[int]:
    """The port of a server that runs already."""
    server = any_server.make_good()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def test_the_capacity_of_any_server_can_be_searched(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("capacity", *server("good"), "--budget", "20", "--duration", "0.5",
                  "--slo", "success>=0.99,p99<=900ms")  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    (file,) = (tmp_path / "results").glob("*/run.json")
    run = json.loads(file.read_bytes())
    assert [estimate["backend"] for estimate in run["capacity"]["estimates"]] == ["good"]
    assert run["trials"][0]["server"]["instrument"] == "outside"


def test_the_life_of_a_request_is_shown_from_outside(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun("anatomy", *server("good"), *server("hangs-on"), "--rps", "60", "--rounds", "1",
                  "--duration", "0.5", "--json", "anatomy.json")  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    lives = json.loads((tmp_path / "anatomy.json").read_bytes())["lives"]
    assert [life["name"] for life in lives] == ["good", "hangs-on"]
    for life in lives:
        parts = {part["name"]: part["median"] for part in life["parts"]}
        assert life["rounds"] == 0 or parts["CPU of the server"] > 0
    assert "CPU of the server" in done.stdout
