"""16: what was measured is shown before anything is drawn, and a chart that fails is one line.
16b: a run in which nothing was comparable exits 1 and says why; another run on this machine is
named before the first trial, and in run.json."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from harness.core.errors import LabError
from harness.core.record import Capacity, Crossover, CrossoverCell, Run
from harness.machine.neighbours import Neighbourhood, announced, neighbours
from harness.report import write_report
from harness.report.charts import NAMES
from harness.report.source import Source, load_source
from harness.studies.compare.remarks import nothing_said
from harness.views.attempt import Failure, attempt
from tests.support.labrun import Labrun, assert_measured, run_lab_here
from tests.support.reference import reference_level, write_reference_level

LAB = [sys.executable, "-P", "-m", "harness.cli"]
QUICK = ["--rps", "200", "--rounds", "1", "--duration", "0.5", "--warmup", "0.1"]

# ---- 16 -------------------------------------------------------------------------------------


def no_large_files() -> None:
    """As on a disk that is nearly full: rows and record find room, pictures do not."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))


@pytest.mark.slow
def test_a_full_disk_costs_the_pictures_and_not_the_results(tmp_path: Path) -> None:
    done = subprocess.run(
        [*LAB, "compare", *QUICK, "--plot"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=no_large_files,
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    assert "Latency, median" in done.stdout
    assert "Record, raw rows and charts:" in done.stdout
    missing = [line for line in done.stderr.splitlines() if " is missing: " in line]
    assert missing[-1].startswith("labrun: the report is missing: cannot write")
    assert "Traceback" not in done.stderr
    (run,) = (tmp_path / "results").iterdir()
    assert json.loads((run / "run.json").read_text("utf-8"))["complete"]
    for name in NAMES:  # of a trial that was not valid there is little to draw, and room for it
        line = f"labrun: the chart {name} is missing: File too large"
        drawn = sorted(file.name for file in (run / "charts").glob(f"{name}.*"))
        assert drawn == ([] if line in missing else [f"{name}.png", f"{name}.svg"])


def test_a_page_says_which_chart_it_lacks_and_has_the_rest(tmp_path: Path) -> None:
    write_reference_level(tmp_path)
    whole = load_source(tmp_path)
    steps = whole.timeline.drop(columns="threads_step_peak")
    told: list[str] = []
    page, text = write_report(Source(whole.run, whole.requests, steps), tmp_path, told.append)
    why = "KeyError: 'threads_step_peak'"
    assert told == [f"the chart storm-2000 of the report is missing: {why}"]
    assert "This chart could not be drawn" in page.read_text("utf-8")
    assert page.read_text("utf-8").count("<svg") > 3
    assert f"**This chart could not be drawn.** {why}." in text.read_text("utf-8")


def test_whatever_fails_in_drawing_is_told_in_a_line() -> None:
    def failing(error: BaseException) -> Callable[[], int]:
        def make() -> int:
            raise error

        return make

    told: dict[Exception, str] = {
        OSError(28, "No space left on device"): "No space left on device",
        ValueError("$\\frac{b$\n^ expected"): "ValueError: $\\frac{b$ ^ expected",
        LabError("cannot write x"): "cannot write x",
        KeyError("server.new"): "KeyError: 'server.new'",
    }
    for error, words in told.items():
        made = attempt(failing(error))
        assert isinstance(made, Failure)
        assert str(made) == words
    assert attempt(lambda: 7) == 7
    for passing in (KeyboardInterrupt(), BrokenPipeError()):
        with pytest.raises(type(passing)):
            attempt(failing(passing))


# ---- 16b ------------------------------------------------------------------------------------


def all_late(run: Run) -> Run:
    trials = [
        msgspec.structs.replace(t, class_="generator-limited", valid=False, invalid_reason="late")
        for t in run.trials
    ]
    comparisons = [msgspec.structs.replace(c, rounds=0) for c in run.comparisons]
    return msgspec.structs.replace(run, trials=trials, comparisons=comparisons)


def test_a_run_that_says_nothing_is_told_with_the_first_reason() -> None:
    run = reference_level()
    assert nothing_said(run) is None
    late = all_late(run)
    many = len(run.trials)
    assert str(nothing_said(late)).startswith(
        f"nothing was compared: {many} of {many} trials are not valid, the first: late; stop what"
    )
    alone = msgspec.structs.replace(run.settings, backends=["thread-pool"])
    one = msgspec.structs.replace(run, settings=alone, comparisons=[])
    assert nothing_said(one) is None
    assert "nothing was measured that holds" in str(
        nothing_said(msgspec.structs.replace(late, settings=alone, comparisons=[]))
    )


def test_a_search_is_judged_by_its_own_trials_and_pairs() -> None:
    run = reference_level()
    capacity = Capacity(objective="p99<=1ms", conditions=[], estimates=[], ratios=[],
                        overload_seen=None)  # fmt: skip
    searched = msgspec.structs.replace(run, comparisons=[], capacity=capacity)
    assert nothing_said(searched) is None
    assert str(nothing_said(all_late(searched))).startswith("nothing was measured that holds: ")
    for better, says in (("cannot-tell", "nothing was compared"), ("thread-pool", "None")):
        pair = CrossoverCell(rps=500.0, value=0.01, round=1, better=better, success=[1.0, 1.0],
                             p99_us=[None, None])  # fmt: skip
        line = Crossover(vary="io", baseline="thread-per-request", contender="thread-pool",
                         rule="", prediction="", cells=[pair], line=[])  # fmt: skip
        crossed = msgspec.structs.replace(run, comparisons=[], crossover=line)
        assert str(nothing_said(crossed)).startswith(says)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another run, as far as anybody can see."""
    script = (
        "from harness.machine.neighbours import announced\n"
        "with announced('labrun compare --name ' + 'x' * 200 + '\\x1b[31m'):\n"
        "    print('there', flush=True)\n"
        "    input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    yield process
    process.kill()
    process.communicate()


def test_another_run_is_seen_until_its_process_is_gone(other: subprocess.Popen[str]) -> None:
    seen = [one for one in neighbours() if one.pid == other.pid]
    assert len(seen) == 1
    assert str(seen[0]).startswith("labrun compare --name xxx")
    assert f"... (pid {other.pid}, since 20" in str(seen[0])
    beside = Neighbourhood()
    beside.look()
    other.kill()
    other.wait()
    beside.look()  # which forgets nobody
    assert any(f"pid {other.pid}" in sentence for sentence in beside.warnings())
    assert not [one for one in neighbours() if one.pid == other.pid]


def test_a_run_is_not_its_own_neighbour_and_a_name_of_others_is_no_run() -> None:
    before = neighbours()
    with announced("labrun compare"), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as odd:
        odd.bind(b"\0metricstream-lab \x1b[31m one two\n")
        own = [one for one in neighbours() if one not in before]
    assert [one for one in own if one.command == "labrun compare"] == []
    assert all("\x1b" not in one.command for one in own)


@pytest.mark.slow
def test_another_run_is_named_before_the_first_trial_and_in_the_record(
    other: subprocess.Popen[str], labrun: Labrun, tmp_path: Path
) -> None:
    done = labrun("compare", *QUICK, "--bare")
    assert_measured(done.returncode, done.stderr)
    told = done.stderr.splitlines()
    named = [i for i, line in enumerate(told) if f"(pid {other.pid}, since " in line]
    assert len(named) == 1
    assert told[named[0]].startswith("labrun: another run measures on this machine: labrun comp")
    assert named[0] < next(i for i, line in enumerate(told) if line.startswith("trial 1/"))
    (file,) = (tmp_path / "results").glob("*/run.json")
    warnings = json.loads(file.read_text("utf-8"))["warnings"]
    assert sum(f"(pid {other.pid}, since " in warning for warning in warnings) == 1
    told_by_doctor = run_lab_here(tmp_path, "doctor", "--duration", "0", "--json").stdout
    found = json.loads(told_by_doctor)["findings"]
    (finding,) = [one for one in found if one["check"] == "other runs"]
    assert finding["level"] == "spoils"
    assert f"pid {other.pid}" in finding["found"]
