"""`labrun compare --live`: a page that is renewed between trials and ends with the run."""

from __future__ import annotations

import http.client
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socketpair
from threading import Event, Thread
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import pandas as pd
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from harness.core.record import Quantiles, Settings, Trial
from harness.live import server
from harness.live.page import Shown
from harness.live.state import Ended
from harness.live.watch import LivePage
from harness.measure.run import RunResult
from harness.store import RunFolder
from tests.support.blocks import IN_BLOCKS, block, trials_of
from tests.support.chromium import Scheme, opened_page
from tests.support.labrun import Labrun
from tests.support.made import make_run, make_settings, make_trial

WAIT_S = 120.0
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"
SHORT = ("--rps=200", "--duration=0.5", "--warmup=0.1", "--bare")


def noisy() -> list[Trial]:
    """Eight restarts; the contender takes about 1.1 times the CPU. One is not compared."""
    trials = [
        make_trial(t.slot, t.round, blocks=[
            block(b.pair, cpu_us=100.0 * (1.1 + 0.01 * (t.round % 4) if t.slot else 1.0))
            for b in t.blocks
        ])
        for t in trials_of()
    ]  # fmt: skip
    late = msgspec.structs.replace(
        trials[5], class_="generator-limited", valid=False, invalid_reason="late by 2 ms"
    )
    return [*trials[:5], late, *trials[6:]]


@contextmanager
def shown(settings: Settings, trials: list[Trial]) -> Iterator[LivePage]:
    """A page on which these trials have ended."""
    with LivePage(settings) as page:
        for trial in trials:
            page.so_far.add(trial)
        page.renew(page.so_far.state("16 of 20 trials have ended.", "Restart 9."))
        assert page.lost is None
        yield page


@pytest.fixture(scope="module")
def live() -> Iterator[LivePage]:
    """A page of eight restarts. Not to be ended."""
    with shown(make_settings(**IN_BLOCKS), noisy()) as page:
        yield page


def opened(
    browser: Browser, live: str, width: int = 1280, scheme: Scheme = "light", script: bool = True
) -> Page:
    """The page. It asks nobody but its own server, and nothing fails."""
    page, complaints = opened_page(browser, live, width, scheme, script=script)
    assert [told for told in complaints if not told.startswith(live)] == []
    return page


def asked(live: LivePage, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """The answer to a request of whoever finds the port."""
    connection = http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=WAIT_S)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


# ---- what is on it --------------------------------------------------------------------------


def test_it_is_provisional_and_has_distributions_intervals_trials_and_what_is_next(
    browser: Browser, live: LivePage
) -> None:
    page = opened(browser, live.url)
    text = page.locator("main").inner_text()
    assert "Provisional. No verdict is drawn before the end" in text
    assert "renewed between trials, so that it does not disturb what is measured" in text
    assert "Restart 9." in text
    assert "Provisional: 2,000 RPS after 8 restarts, 1 left out" in text
    assert "late by 2 ms" in text
    assert page.locator("svg[role=img]").count() == 2
    assert page.locator("polyline").count() == 16 + 2
    labels = [svg.get_attribute("aria-label") or "" for svg in page.locator("svg[role=img]").all()]
    assert "thread-pool: 50 % within 100 µs, 99 % within 100 µs" in labels[0]
    assert "CPU per request 1.1" in labels[1]
    assert page.locator("circle").count() == 3 * 3  # an interval needs 5 whole restarts: 6, 7, 8
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1280, "dark")])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    browser: Browser, live: LivePage, width: int, scheme: Scheme
) -> None:
    page = opened(browser, live.url, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    page.close()


def test_without_javascript_there_is_the_same_and_a_sentence(
    browser: Browser, live: LivePage
) -> None:
    page = opened(browser, live.url, script=False)
    assert "load it again to see what is new" in page.locator("noscript").inner_text()
    assert page.locator("svg[role=img]").count() == 2
    assert page.locator("tbody tr").count() == 3 + 16
    page.close()


def test_names_are_text_and_nothing_else(browser: Browser) -> None:
    arms = [{"name": HOSTILE, "backend": "thread-pool"}, {"name": "b", "backend": "thread-pool"}]
    settings = make_settings(**IN_BLOCKS, arms=arms, backends=["thread-pool"] * 2)
    with shown(settings, noisy()) as live:
        page = opened(browser, live.url)
        assert page.locator("img").count() == 0
        assert HOSTILE in page.locator("h1").inner_text()
        live.renew(live.so_far.state(HOSTILE, HOSTILE))
        page.wait_for_function("told => document.getElementById('told').textContent === told",
                               arg=HOSTILE)  # fmt: skip
        assert page.locator("img").count() == 0
        page.close()


def test_blocks_of_a_level_that_is_measured_anew_are_forgotten(browser: Browser) -> None:
    with shown(make_settings(**IN_BLOCKS), [*noisy()[:4], make_trial(0, 1)]) as live:
        page = opened(browser, live.url)
        assert page.locator("tbody tr").count() == 1
        assert page.locator("circle").count() == 0
        page.close()


def test_each_contender_has_its_own_intervals_and_its_own_account_of_what_was_left_out(
    browser: Browser,
) -> None:
    trials = noisy()
    third = [make_trial(2, t.round, blocks=t.blocks) for t in trials if t.slot == 0]
    backends = ["thread-per-request", "thread-pool", "event-loop"]
    by_restart = sorted([*trials, *third], key=lambda trial: trial.round)
    with shown(make_settings(**IN_BLOCKS, backends=backends), by_restart) as live:
        page = opened(browser, live.url)
        told = page.locator("figcaption").all_inner_texts()
        assert [text.split(". Ratios")[0].split("\n") for text in told[1:]] == [
            ["thread-pool / thread-per-request",
             "Provisional: 2,000 RPS after 8 restarts, 1 left out"],
            ["event-loop / thread-per-request", "Provisional: 2,000 RPS after 8 restarts"],
        ]  # fmt: skip
        assert page.locator("circle").count() == 3 * (3 + 4)
        page.close()


def test_a_server_that_answers_nobody_is_told_of_without_a_picture(browser: Browser) -> None:
    trial = make_trial(0, 1)
    names = ["mean", "p50", "p90", "p95", "p99", "p999", "max"]
    nothing = msgspec.convert(dict.fromkeys(names), Quantiles)
    client = msgspec.structs.replace(trial.client, response_us=nothing, beyond=names)
    mute = make_trial(0, 1, client=client)
    with shown(make_settings(), [mute]) as live:
        page = opened(browser, live.url)
        assert "No trial at this rate has an answer yet." in page.locator("main").inner_text()
        assert "not answered" in page.locator("tbody").inner_text()
        page.close()


# ---- how it is renewed ----------------------------------------------------------------------


def test_a_run_waits_until_who_follows_has_drawn_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DRAW_S", WAIT_S)
    board = server.Board(Shown(1, False, b"", b""))
    told, may_draw, order = Event(), Event(), list[str]()
    ours, theirs = socketpair()
    closed, gone = socketpair()
    gone.close()  # a window that was closed: it is not waited for
    left = Thread(target=board.after, args=(1, closed))

    def follow() -> None:
        assert board.after(1, ours) is not None
        told.set()
        may_draw.wait(WAIT_S)
        order.append("drawn")
        board.after(2, ours)
        board.after(3, ours)

    def renew() -> None:
        board.renew(Shown(2, False, b"", b""))
        order.append("renewed")

    browser_thread, run_thread = Thread(target=follow), Thread(target=renew)
    browser_thread.start()
    left.start()
    assert board.wait_for_followers(2, WAIT_S)
    run_thread.start()
    assert told.wait(WAIT_S)
    may_draw.set()
    run_thread.join(WAIT_S)
    board.renew(Shown(3, True, b"", b""))
    browser_thread.join(WAIT_S)
    left.join(WAIT_S)
    for end in (ours, theirs, closed):
        end.close()
    assert order == ["drawn", "renewed"]


def test_at_the_end_who_still_draws_or_has_just_loaded_the_page_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both were told of the end by nobody: the process ended while they were busy."""
    monkeypatch.setattr(server, "DRAW_S", 0.0)  # nobody draws that fast
    for name in ("DRAW_LAST_S", "LOAD_S"):
        monkeypatch.setattr(server, name, WAIT_S)
    board, order = server.Board(Shown(1, False, b"", b"")), list[str]()
    (slow, at_slow), (new, at_new) = socketpair(), socketpair()
    follower = Thread(target=board.after, args=(1, slow, True))
    follower.start()
    assert board.wait_for_followers(1, WAIT_S)
    board.renew(Shown(2, False, b"", b""))
    follower.join(WAIT_S)
    assert board.load().number == 2

    def end() -> None:
        board.renew(Shown(3, True, b"", b""))
        order.append("over")

    ending = Thread(target=end)
    ending.start()
    for who, browser, first in (("slow", slow, False), ("new", new, True)):
        news = board.after(2, browser, first)
        assert news is not None
        assert news.last
        order.append(who)
        board.after(3, browser)
    ending.join(WAIT_S)
    for open_end in (slow, at_slow, new, at_new):
        open_end.close()
    assert order == ["slow", "new", "over"]


def test_a_page_that_is_gone_ends_no_run_and_who_follows_is_told(browser: Browser) -> None:
    with shown(make_settings(**IN_BLOCKS), noisy()) as live:
        page = opened(browser, live.url)
        live.process.kill()
        live.process.wait()
        live.renew(live.so_far.state("", ""))
        assert live.lost is not None
        assert "SIGKILL" in live.lost
        page.locator("#lost").wait_for(state="visible")
        assert "not renewed any more" in page.locator("#lost").inner_text()
        assert page.locator("circle").count() == 9
        page.close()


def test_a_run_whose_report_was_not_waited_for_is_over_all_the_same(
    browser: Browser, tmp_path: Path
) -> None:
    run, rows = make_run(noisy(), **IN_BLOCKS), pd.DataFrame()
    result = RunResult(run, rows, rows, RunFolder(tmp_path), False)
    with shown(make_settings(**IN_BLOCKS), noisy()) as live:
        page = opened(browser, live.url)
        live.over(result, "Its report is being drawn.", last=False)
    page.wait_for_function("() => document.body.innerText.includes('report was not drawn')")
    text = page.locator("main").inner_text()
    assert "The run is over." in text
    assert "thread-pool takes 1.1" in text
    assert str(tmp_path) in text
    page.close()


def test_a_run_that_fails_is_told_as_a_reason(browser: Browser) -> None:
    with LivePage(make_settings()) as live:
        page = opened(browser, live.url)
        live.failed("no port was free")
        page.wait_for_function("() => document.body.innerText.includes('no port was free')")
        assert "no run" in page.title()
        page.close()


# ---- who may ask ----------------------------------------------------------------------------


def test_it_listens_on_loopback_alone_at_the_lowest_priority(live: LivePage) -> None:
    process = psutil.Process(live.process.pid)
    listening = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert [c.laddr.ip for c in listening] == ["127.0.0.1"]
    assert process.nice() == 19


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"])
def test_every_method_but_get_is_refused(live: LivePage, method: str) -> None:
    answer = asked(live, method, "/")
    assert (answer.status, answer.getheader("Allow")) == (405, "GET")


@pytest.mark.parametrize(
    "path", ["/run.json", "/../etc/passwd", "/after", "/after?", "/after?x", "/after?-1",
             "/after?1234567890", "/?x"],
)  # fmt: skip
def test_every_path_but_two_is_unknown(live: LivePage, path: str) -> None:
    assert asked(live, "GET", path).status == 404


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Origin": "http://evil.example"},
                {"Origin": "null"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/after?0"])
def test_nothing_is_told_to_another_page_or_name(
    live: LivePage, headers: dict[str, str], path: str
) -> None:
    answer = asked(live, "GET", path, **headers)
    assert (answer.status, answer.read()) == (404, b"")


# ---- real runs ------------------------------------------------------------------------------


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A run as a process of its own, and the address of its page."""
    command = [sys.executable, "-P", "-m", "harness.cli", "compare", "--live", *SHORT, *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            told = (re.match(r"live: (http://127\.0\.0\.1:\d+/) ", line) for line in process.stderr)
            yield process, next(found[1] for found in told if found)
        finally:
            process.kill()


def test_a_run_is_followed_to_its_end_at_both_widths(browser: Browser, tmp_path: Path) -> None:
    with started(tmp_path, "--rounds=1") as (process, url):
        process.send_signal(signal.SIGSTOP)  # however slow the browser is, it comes in time
        with urlopen(url, timeout=WAIT_S) as answer:
            assert b"Provisional." in answer.read()
        pages = [opened(browser, url, width) for width in (375, 1280)]
        process.send_signal(signal.SIGCONT)
        for page in pages:
            page.wait_for_function("() => document.body.innerText.includes('The run is over.')")
        _, errors = process.communicate(timeout=WAIT_S)
    assert "http" not in errors  # it was told once
    (run,) = (tmp_path / "results").iterdir()
    for page in pages:
        text = page.locator("main").inner_text()
        assert str(run) in text
        assert "labrun report" in text
        assert page.locator("tbody tr").count() >= 2
        assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
        assert not page.locator("#lost").is_visible()
        page.close()


def test_a_run_that_is_interrupted_is_partial_on_the_page(browser: Browser, tmp_path: Path) -> None:
    with started(tmp_path, "--rounds=40") as (process, url):
        page = opened(browser, url)
        page.wait_for_function("() => document.querySelectorAll('tbody tr').length > 0")
        process.send_signal(signal.SIGINT)
        page.wait_for_function("() => document.body.innerText.includes('The run is PARTIAL')")
        process.communicate(timeout=WAIT_S)
        assert process.returncode == 130
    assert "interrupted in trial" in page.locator("main").inner_text()
    page.close()


def test_no_page_outlives_a_run_that_is_killed(tmp_path: Path) -> None:
    with started(tmp_path, "--rounds=40") as (process, _):
        (page,) = (child for child in psutil.Process(process.pid).children()
                   if "harness.live.server" in child.cmdline())  # fmt: skip
        descriptor = os.pidfd_open(page.pid)
        process.kill()
        try:
            assert select.select([descriptor], [], [], WAIT_S)[0]
        finally:
            os.close(descriptor)


def test_several_comparisons_have_no_page(labrun: Labrun) -> None:
    done = labrun("compare", "--all", "--live")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "--live shows one comparison and --all makes several" in done.stderr


def test_the_end_of_a_whole_run_has_its_sentences_and_where_the_report_is(
    browser: Browser,
) -> None:
    with shown(make_settings(**IN_BLOCKS), noisy()) as live:
        page = opened(browser, live.url)
        ended = Ended(True, ["b takes 1.1× the CPU."], "/runs/1", "Its report is there.", True)
        live.renew(live.so_far.state("", "", ended))
        page.wait_for_function("() => document.body.innerText.includes('The run is over.')")
        text = page.locator("main").inner_text()
        assert "b takes 1.1× the CPU." in text
        assert "Its report is there." in text
        assert "Provisional" not in text
        page.close()
