"""What chapter 3 says of the collapse is so in the run that it reads offline."""

from __future__ import annotations

import pytest

from harness.course.files import recorded_folder
from harness.course.pictures import Goodput
from harness.lab import Experiment, load_run

CAPACITY_RPS = 16 / 0.04
REMEDIES = ["200", "newest first", "drop expired"]


@pytest.fixture(scope="module")
def collapse() -> Experiment:
    return load_run(recorded_folder() / "collapse")


def test_the_long_queue_collapses_and_no_remedy_does(collapse: Experiment) -> None:
    goodput = Goodput(collapse, CAPACITY_RPS)
    since_s = goodput.collapsed_s("10,000")
    assert since_s is not None
    assert 1.5 <= since_s <= 2.5  # whoever came after a second has left when a worker takes it
    assert [goodput.collapsed_s(name) for name in REMEDIES] == [None] * 3
    assert "10,000 collapses" in repr(goodput.plot())


def test_the_remedies_differ_in_the_wait_and_not_in_goodput(collapse: Experiment) -> None:
    good = collapse.figure("client.achieved_rps")
    assert all(0.85 < good[name] / CAPACITY_RPS < 1.05 for name in REMEDIES)
    assert good["10,000"] < 0.6 * min(good[REMEDIES])
    ok = collapse.requests[collapse.requests["outcome"] == "ok"]
    median_s = ok.groupby("slot")["response_us"].median() / 1e6
    short, newest, dropping = (float(median_s[slot]) for slot in (1, 2, 3))
    assert 0.5 <= short < 0.7  # 200 / 400, and the handler
    assert newest < 0.1
    assert 0.9 < dropping < 1.0  # of the second that a client stays


def test_nothing_was_refused_by_the_long_queue_and_its_bound_was_never_reached(
    collapse: Experiment,
) -> None:
    by_arm = {trial.name: trial for trial in collapse.run.trials}
    assert by_arm["10,000"].client.outcomes.rejected == 0
    assert by_arm["200"].client.outcomes.rejected > 1000
    assert collapse.figure("server.queue_depth_max")["10,000"] < 10_000 / 2
    assert all(trial.valid for trial in collapse.run.trials)


def test_a_run_without_a_collapse_says_so() -> None:
    run = load_run(recorded_folder() / "waiting")
    goodput = Goodput(run, CAPACITY_RPS)
    assert goodput.collapsed_s("thread-per-request") is None
