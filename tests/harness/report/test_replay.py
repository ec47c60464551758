"""A traced run: recorded, shown in slow motion, exported, and compared with nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from harness.core.record import Run
from harness.report.replay import replay_page
from harness.report.trace import TracedRun, each_row, load_trace, steps_of, trace_events
from tests.support.chromium import Scheme, opened_page
from tests.support.labrun import Labrun, run_lab
from tests.support.schemas import assert_follows

Changed = Callable[[str], Path]
HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A traced run of both servers, half a second each. Not to be changed."""
    folder = tmp_path_factory.mktemp("traced")
    done = run_lab(folder, "compare", "--trace", "--rps", "200", "--duration", "0.5",
                   "--warmup", "0.2", "--bare")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traced, so nothing is compared" in done.stdout
    assert "nothing can be said" in done.stdout
    (found,) = (folder / "results").glob("*-compare")
    return found


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.fixture(scope="module")
def traced(run: Path) -> TracedRun:
    return load_trace(run)


def record(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_bytes())


def write_record(folder: Path, changed: Any) -> None:
    (folder / "run.json").write_text(json.dumps(changed), "utf-8")


# ---- the record -----------------------------------------------------------------------------


def test_no_trial_of_it_is_valid_and_nothing_is_compared(run: Path) -> None:
    found = msgspec.convert(record(run), Run)
    assert found.settings.trace == 5000
    assert {(c.verdict, c.ratio) for c in found.comparisons} == {("not-comparable", None)}
    assert len(found.trials) == 2
    for trial in found.trials:
        assert not trial.valid
        assert trial.traced is not None
        assert trial.traced.dropped == 0
        assert trial.server is not None
        assert trial.traced.kept <= trial.server.account.accepted


def test_every_request_that_was_served_has_times_that_follow_each_other(traced: TracedRun) -> None:
    assert [arm.name for arm in traced.arms] == ["thread-per-request", "thread-pool"]
    assert [arm.own_threads for arm in traced.arms] == [True, False]
    for arm in traced.arms:
        served = arm.rows[arm.rows["thread"] > 0]
        assert len(served) > 0
        assert (served["intended_us"] <= served["sent_us"]).all()
        assert (served["sent_us"] <= served["connected_us"]).all()
        assert (served["accepted_us"] <= served["started_us"]).all()
        assert (served["started_us"] <= served["ended_us"]).all()
        ok = served[served["outcome"] == "ok"]
        assert (ok["answered_us"] > ok["accepted_us"]).all()  # it is that request's own
        assert (ok["status"] == 202).all()


def test_the_steps_of_a_request_fill_its_time_on_the_thread(traced: TracedRun) -> None:
    for row in each_row(traced.arms[0].rows):
        if row.thread > 0:
            steps = steps_of(row, works=False)
            for (_, at, length), (_, after, _) in pairwise(steps):
                assert after == pytest.approx(at + length)
            _, at, length = steps[-1]
            assert at + length <= row.ended_us + 1


def test_regress_and_history_refuse_it(run: Path, labrun: Labrun) -> None:
    done = labrun("regress", str(run), str(run))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "was traced, which costs CPU, so it is not compared" in done.stderr
    done = labrun("history", str(run.parent))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "every one was traced" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--backends", "thread-pool,native-thread-pool"), "native-thread-pool is another"),
        (("--backends", "thread-pool,prefork"), "prefork is another"),
        (("--server", "a=a {port}"), "a is another"),
        (("--design", "blocks"), "--trace and --design blocks do not go together"),
        (("--driver", "locust"), "--trace and --driver locust do not go together"),
        (
            ("--connections", "keep-alive"),
            "--trace and --connections keep-alive do not go together",
        ),
        (("--max-loss", "client.success_rate=1%"), "--trace and --max-loss and --min"),
    ],
)
def test_what_a_trace_does_not_go_with_is_refused(
    labrun: Labrun, options: tuple[str, ...], said: str
) -> None:
    done = labrun("compare", "--trace", *options)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr


def test_one_arm_alone_is_not_traced(labrun: Labrun) -> None:
    done = labrun("compare", "--arm", "a=thread-pool --trace 5")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--trace is for the lab to set" in done.stderr


# ---- bad input ------------------------------------------------------------------------------


def no_trace_at_all(folder: Path) -> None:
    shutil.copy(Path(__file__).parents[3] / "results" / "reference" / "run.json", folder)


def not_there(folder: Path) -> None:
    (folder / "trace.parquet").unlink()


def cut_in_the_middle(folder: Path) -> None:
    file = folder / "trace.parquet"
    file.write_bytes(file.read_bytes()[:-2000])


def rows_missing(folder: Path) -> None:
    file = folder / "trace.parquet"
    pd.read_parquet(file).head(20).to_parquet(file)


def columns_missing(folder: Path) -> None:
    file = folder / "trace.parquet"
    pd.read_parquet(file).drop(columns=["thread"]).to_parquet(file)


def impossible(folder: Path) -> None:
    file = folder / "trace.parquet"
    pd.read_parquet(file).assign(ended_us=1e300).to_parquet(file)


def ended_too_early(folder: Path) -> None:
    found = record(folder)
    for trial in found["trials"]:
        trial["traced"] = None
    write_record(folder, found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_trace_at_all, "has no trace; make one with labrun compare --trace"),
        (not_there, "has no trace.parquet"),
        (cut_in_the_middle, "is cut short or no Parquet file"),
        (rows_missing, "is cut short: it has"),
        (columns_missing, "lacks thread"),
        (impossible, "has times or outcomes that no run has"),
        (ended_too_early, "since it ended before its first one"),
    ],
)
@pytest.mark.parametrize("command", [("replay",), ("export", "--format", "trace")])
def test_a_run_without_a_whole_trace_is_refused_in_a_sentence(
    copied: Path,
    labrun: Labrun,
    change: Callable[[Path], None],
    said: str,
    command: tuple[str, ...],
) -> None:
    change(copied)
    done = labrun(*command, str(copied))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr


def test_a_level_that_there_is_none_of_is_refused(run: Path, labrun: Labrun) -> None:
    done = labrun("replay", str(run), "--rps", "7")
    assert done.returncode == 2
    assert "has no trace at 7 RPS; take one of 200" in done.stderr


# ---- Trace Event format ---------------------------------------------------------------------


def test_the_export_is_valid_and_has_every_request(
    run: Path, traced: TracedRun, labrun: Labrun
) -> None:
    done = labrun("export", str(run), "--format", "trace")
    whole = json.loads(done.stdout)
    schema = json.loads(Path(__file__).with_name("trace_event.schema.json").read_bytes())
    assert_follows(whole, schema)
    assert whole["otherData"]["dropped"] == 0
    events = whole["traceEvents"]
    for pid, arm in enumerate(traced.arms, start=1):
        mine = [event for event in events if event["pid"] == pid]
        begun = [event["id"] for event in mine if event["ph"] == "b"]
        assert begun == list(range(len(arm.rows)))
        assert sorted(event["id"] for event in mine if event["ph"] == "e") == begun
        waiting = [event["args"]["requests"] for event in mine if event["ph"] == "C"]
        assert waiting[-1] == 0
        assert min(waiting) >= 0


# ---- the page -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page_file(traced: TracedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("replay") / "replay.html"
    file.write_bytes(replay_page(traced))
    return file


def opened(
    browser: Browser,
    file: Path,
    width: int = 1280,
    scheme: Scheme = "light",
    script: bool = True,
) -> Page:
    """The page, at rest. It asks no network, and nothing fails."""
    page, complaints = opened_page(browser, file.as_uri(), width, scheme, "reduce", script)
    assert complaints == []
    return page


def test_at_its_end_every_request_is_answered_or_failed(
    browser: Browser, page_file: Path, traced: TracedRun
) -> None:
    page = opened(browser, page_file)
    page.evaluate("replay.go(replay.moment().end)")
    for number, arm in enumerate(traced.arms):
        ok = int((arm.rows["outcome"] == "ok").sum())
        said = page.locator("#arms p").nth(number).inner_text()
        assert said.startswith("0 not accepted yet, 0 waiting for a thread, 0 on a thread, ")
        assert f"{ok} answered, {len(arm.rows) - ok} failed." in said
    page.close()


def test_it_is_moved_by_keys_and_played_by_space(browser: Browser, page_file: Path) -> None:
    page = opened(browser, page_file)
    assert page.evaluate("replay.moment().now") == 0
    page.keyboard.press("ArrowRight")
    assert page.evaluate("replay.moment().now") == 1000
    page.keyboard.press("ArrowLeft")
    page.locator("#scrub").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("replay.moment().now") == 100
    page.locator("#play").focus()
    page.keyboard.press("Space")
    page.wait_for_function("() => replay.moment().now > 100")
    page.keyboard.press("Space")
    assert page.evaluate("replay.moment().playing") is False
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_telephone_shows_it_all(
    browser: Browser, page_file: Path, scheme: Scheme
) -> None:
    page = opened(browser, page_file, width=375, scheme=scheme)
    page.evaluate("replay.go(200000)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    page.close()


def test_without_javascript_there_is_a_picture_and_a_sentence(
    browser: Browser, page_file: Path
) -> None:
    page = opened(browser, page_file, script=False)
    assert page.locator("noscript svg rect").count() > 5
    assert "needs JavaScript" in page.locator("noscript figcaption").inner_text()
    assert not page.locator("#app").is_visible()
    page.close()


def test_names_of_a_record_are_text_and_nothing_else(
    browser: Browser, traced: TracedRun, tmp_path: Path
) -> None:
    hostile = replace(
        traced,
        arms=[replace(traced.arms[0], name=HOSTILE), traced.arms[1]],
        run=msgspec.structs.replace(traced.run, id=HOSTILE),
    )
    file = tmp_path / "replay.html"
    file.write_bytes(replay_page(hostile))
    page = opened(browser, file)
    assert page.locator("img").count() == 0
    assert page.locator("#arms h2").first.text_content() == HOSTILE
    page.close()
    assert json.loads(trace_events(hostile))["traceEvents"][0]["args"]["name"] == HOSTILE


def test_the_longest_page_is_below_five_megabytes_and_says_what_is_cut(traced: TracedRun) -> None:
    rows = traced.arms[0].rows
    many = pd.concat([rows] * (12_000 // len(rows) + 1), ignore_index=True)
    late = {name: many[name] + 3.6e9 for name in many if name in (
        "intended_us", "accepted_us", "started_us", "ended_us", "answered_us")}  # fmt: skip
    arms = [replace(arm, rows=many.assign(**late), dropped=7) for arm in traced.arms]
    page = replay_page(replace(traced, arms=arms))
    assert len(page) < 5_000_000
    assert f"cut after these: {len(many) - 10_000 + 7:,} more are not in it".encode() in page
