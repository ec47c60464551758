"""The capstone: a fault from a seed, evidence at a price, and what is said of a wrong diagnosis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import LabError
from harness.course import incident as capstone
from harness.course.checks import check
from harness.course.files import notebooks_folder, recorded_folder
from harness.course.incident import Incident
from harness.course.releases import FAULTS, fault_of, write_release
from harness.lab import load_run

SEEDS = {fault: next(s for s in range(100) if fault_of(s) == fault) for fault in FAULTS}


def opened(fault: str) -> Incident:
    """The incident with that fault, and its recorded run."""
    incident = Incident(SEEDS[fault])
    incident.opened(load_run(recorded_folder() / incident.name))
    return incident


def test_every_fault_is_drawn_and_the_same_by_the_same_seed() -> None:
    drawn = [fault_of(seed) for seed in range(60)]
    assert set(drawn) == set(FAULTS)
    assert drawn == [fault_of(str(seed)) for seed in range(60)]
    assert {Incident(seed).name for seed in range(60)} == {f"incident-{n}" for n in range(1, 7)}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_release_is_a_backend(fault: str, tmp_path: Path) -> None:
    write_release(tmp_path / "release.py", fault)
    done = subprocess.run(
        [sys.executable, "-c", "from release import Backend; print(Backend.name)"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert done.stdout == "release\n"


def test_evidence_is_paid_for_once_and_no_more_than_there_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    incident = opened("smaller pool")
    for query in ("latency", " Latency ", "step rate_limit", "threads"):
        incident.ask(query)
    assert incident.spent == 1 + 2 + 3
    incident.ask("memory")
    incident.ask("cpu")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 6
    assert said[-1] == "cpu costs 2, and 1 of 10 points are left."
    incident.ask("the answer")
    incident.ask("step of mine")
    assert capsys.readouterr().out.count("There is no query") == 2
    with pytest.raises(LabError, match="there is no run yet"):
        Incident(1).ask("latency")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_diagnosis_is_judged(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    incident = Incident(SEEDS[fault])
    assert check("8.1", f" {fault.upper()} ", incident)
    assert "You spent 0 of 10 points." in capsys.readouterr().out
    for other in set(FAULTS) - {fault}:
        assert not check("8.1", other, incident)
        assert capsys.readouterr().out.rstrip().endswith("?")
    assert not check("8.1", "the network", incident)
    assert "none of the six suspects" in capsys.readouterr().out
    assert not check("8.1", fault)
    assert "Which incident is it about?" in capsys.readouterr().out


def test_the_recorded_runs_show_what_the_key_says() -> None:
    for fault in FAULTS:
        run = load_run(recorded_folder() / Incident(SEEDS[fault]).name)
        ratio = {
            name: run.figure(path).iloc[1] / run.figure(path).iloc[0]
            for name, path in (
                ("median", "client.response_us.p50"),
                ("p99", "client.response_us.p99"),
                ("cpu", "server.cpu_us_per_request.total"),
            )
        }
        limit = run.steps().loc["rate limit"].xs(run.settings.backends[1], level="backend")
        spread = limit["p99_us"] / limit["median_us"]
        slow_step = limit["median_us"] > 500
        assert slow_step == (fault in ("sleep", "lock", "retry storm")), fault
        if fault in ("leak", "garbage collector"):
            assert ratio["median"] < 1.1, fault
        if fault == "garbage collector":
            assert ratio["p99"] > 2
        if fault == "sleep":
            assert spread < 2
        if fault == "lock":
            assert spread > 2
        if fault == "retry storm":
            assert ratio["cpu"] > 3
    threads = load_run(recorded_folder() / Incident(SEEDS["smaller pool"]).name)
    assert list(threads.figure("server.threads_active_mean").round()) == [16, 2]


def test_the_key_is_not_in_a_learners_folder() -> None:
    assert not list(notebooks_folder().rglob("*key*"))
    assert capstone.BUDGET == 10


def test_the_key_has_the_figures_of_the_recorded_runs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "capstone-key.md").read_text("utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    assert {row[0].strip(" `") for row in rows} == set(FAULTS)
    for name, median, p99, cpu, *_ in rows:
        run = load_run(recorded_folder() / Incident(SEEDS[name.strip(" `")]).name)
        for said, path in ((median, "client.response_us.p50"), (p99, "client.response_us.p99")):
            found = run.figure(path) / 1e3
            assert said.strip() == ", ".join(f"{value:.1f}" for value in found), (name, path)
        before, now = run.figure("server.cpu_us_per_request.total")
        assert cpu.strip() == f"{now / before:.1f}", name
