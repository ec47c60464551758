"""What the chapters say in words is so in the runs beside them."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

import pytest

from harness.course.files import notebooks_folder, recorded_folder
from harness.course.interleaving import Interleaving
from harness.lab import load_run, reference

FOLDER = notebooks_folder()
THREADS, POOL = "thread-per-request", "thread-pool"


def text(number: str) -> str:
    (path,) = FOLDER.glob(f"{number}-*.ipynb")
    return path.read_text("utf-8")


def test_chapter_1_dispatch_is_the_longest_step_and_most_of_it_is_waiting() -> None:
    assert "The largest step is *dispatch*, and most of it is waiting" in text("01")
    life = load_run(recorded_folder() / "life")
    steps = life.steps()["median_us"]
    for server in (THREADS, POOL):
        assert steps[server].loc["dispatch":"close"].idxmax() == "dispatch"
    apart = life.anatomy().apart
    assert apart is not None
    assert apart.enqueue is not None
    assert apart.thread_costs is not None
    assert apart.enqueue.p50_us is not None
    assert apart.thread_costs.start_us.median < steps[THREADS]["dispatch"] / 2
    assert apart.enqueue.p50_us < steps[POOL]["dispatch"] / 2


def test_chapter_2_the_goodput_does_not_fall() -> None:
    assert "The goodput has not fallen: this is saturation." in text("02")
    good = [reference().figure("client.achieved_rps", rps)[THREADS] for rps in (5000, 10_000)]
    assert good[1] > good[0]


def test_chapter_2a_two_orders_alone_are_right() -> None:
    assert "Only two orders are right: all of A before B, and all of B before A." in text("02a")
    account = {"balance": 0}

    def deposit() -> None:
        balance = account["balance"]
        balance = balance + 10
        account["balance"] = balance

    right = []
    for order in sorted({"".join(order) for order in permutations("AAABBB")}):
        account["balance"] = 0
        Interleaving(deposit, order)
        right += [order] if account["balance"] == 20 else []
    assert right == ["AAABBB", "BBBAAA"]


def test_chapter_4_a_closed_loop_hides_what_an_open_one_shows() -> None:
    assert "95 % of requests take under 10 ms, the other that more than a fifth take longer" in (
        text("04")
    )
    opened, closed = (
        load_run(recorded_folder() / f"stalling-{loop}") for loop in ("open", "closed")
    )
    assert closed.figure("client.service_us.p95").iloc[0] < 10_000
    assert (opened.requests["response_us"] > 100_000).mean() > 0.2


def test_chapter_7_the_pools_cost_falls_and_the_others_does_not_once_the_cpu_is_full() -> None:
    assert "What a request of the pool costs falls with the load." in text("07")
    run = reference()
    cost = {rps: run.figure("server.cpu_us_per_request.total", rps) for rps in run.settings.rps}
    pool = [of[POOL] for of in cost.values()]
    assert pool == sorted(pool, reverse=True)
    threads = [of[THREADS] for of in cost.values()]
    assert threads[:-1] == sorted(threads[:-1], reverse=True)
    assert threads[-1] > threads[-2]


def test_chapter_7_the_queue_does_well_once_it_is_given_the_true_cost() -> None:
    assert "So most of the error is the cost's" in text("07")
    run = reference()
    cost_us = run.figure("server.cpu_us_per_request.total", 10_000)[THREADS]
    backlog = run.settings.backlog
    median_us = run.figure("client.response_us.p50", 10_000)[THREADS]
    assert backlog * cost_us == pytest.approx(median_us, rel=0.15)
    assert run.figure("client.achieved_rps", 10_000)[THREADS] == pytest.approx(
        1e6 / cost_us, rel=0.15
    )


CHAPTERS = sorted(FOLDER.glob("0[0-2467]-*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=[path.name for path in CHAPTERS])
def test_a_chapter_has_mistakes_what_to_remember_dated_sources_and_the_glossary(path: Path) -> None:
    said = path.read_text("utf-8")
    assert "## Common mistakes" in said
    remember = said.partition("## What to remember\\n")[2].partition("## ")[0]
    assert len(re.findall(r"[.]\s", remember.replace('",', " ").replace("\\n", " "))) == 3
    assert re.search(r"\((19|20)\d\d\)", said.partition("*Sources.*")[2])
    assert "docs/glossary.md" in said


def test_a_word_has_one_meaning() -> None:
    page = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text("utf-8")
    terms = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)[2:]
    assert len(terms) == len(set(terms)) > 40
    assert [term.strip("*").lower() for term in terms] == sorted(
        term.strip("*").lower() for term in terms
    )
