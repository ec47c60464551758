"""Locust as a driver: real Locust, real servers, and every request accounted for."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from playwright.sync_api import sync_playwright

import harness
from harness.core.record import OUTCOMES, Settings
from harness.designs.trials import plan_trials
from harness.drivers.driver import driver_of
from harness.drivers.payloads import make_bodies, names
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.trial import Progress, run_trial
from harness.session.settings import CompareOptions, make_settings
from servers import metric
from servers.problem import Problem
from tests.support.chromium import PATIENCE_MS, launch
from tests.support.labrun import Labrun, assert_measured
from tests.support.serving import RunningServer

LOAD = Path(harness.__file__).parent / "drivers" / "locust"
SHORT = ("--rps", "200", "--rounds", "1", "--duration", "0.6", "--warmup", "0.2")


def assert_accounted(trial: dict[str, Any]) -> None:
    client, server = trial["client"], trial["server"]["requests"]
    outcomes = client["outcomes"]
    assert client["scheduled"] == sum(outcomes[name] for name in OUTCOMES) > 0
    begun = client["scheduled"] - outcomes["unsent"] - outcomes["refused"]
    # Of who gave up, since the machine stood still, the server may know or not.
    least = begun - outcomes["timeout"] - outcomes["reset"]
    assert least <= server["accepted"] <= begun
    assert least <= server["answered"] <= begun


def assert_users_keep_their_rules(requests: pd.DataFrame) -> None:
    """200 RPS of 20 users: one each 100 ms, none early, none while the last one is unanswered."""
    assert requests["client"].nunique() == 20
    assert (requests["lag_us"] >= 0).all()
    for _, mine in requests.sort_values("intended_us").groupby("client"):
        intended = mine["intended_us"].to_numpy()
        ended = intended + mine["response_us"].to_numpy()
        earliest = np.maximum(intended[:-1] + 100_000, ended[:-1])
        assert intended[1:] == pytest.approx(earliest, abs=1e-3)
        assert intended[0] < 100_000
        assert max(intended[-1] + 100_000, ended[-1]) >= 600_000 > intended[-1]


@pytest.mark.parametrize(
    "options",
    [("--bare",), ("--locust-workers", "2"), ("--user-class", "fast", "--bare")],
    ids=["one process", "two workers", "FastHttpUser"],
)
def test_every_request_is_in_both_accounts(
    labrun: Labrun, tmp_path: Path, options: tuple[str, ...]
) -> None:
    done = labrun(
        "compare", "--driver", "locust", *SHORT, "--users", "20", "--backends", "thread-pool",
        *options,
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    (folder,) = (tmp_path / "results").iterdir()
    record = json.loads((folder / "run.json").read_bytes())
    settings = record["settings"]
    assert (settings["driver"], settings["clients"]) == ("locust", 20)
    assert settings["user_class"] == ("fast" if "fast" in options else "socket")
    assert settings["locust_workers"] == (2 if "2" in options else 0)
    assert settings["arrivals"] == "constant"
    (trial,) = record["trials"]
    assert_accounted(trial)
    assert_users_keep_their_rules(pd.read_parquet(folder / "requests.parquet"))
    said = " ".join(done.stdout.split())
    sentence = driver_of("locust").sentence(msgspec.convert(settings, Settings))
    assert sentence is not None
    assert f"({settings['user_class']} users" in sentence
    assert sentence in said
    if "--bare" not in options:
        assert sentence in " ".join((folder / "report.md").read_text("utf-8").split())


def test_a_worker_that_dies_is_a_named_gap() -> None:
    settings = make_settings(
        CompareOptions(rps="200", rounds=1, duration_s=3.0, warmup_s=0.2, driver="locust",
                       locust_workers=2, users=10, backends="thread-pool")
    )  # fmt: skip
    killed: list[int] = []

    def kill_one(progress: Progress) -> None:
        """Within the window, once: the generator's second worker."""
        workers = [
            process
            for process in psutil.Process().children(recursive=True)
            if "--worker" in process.cmdline() and "harness.drivers.locust.run" in process.cmdline()
        ]
        if workers and not killed:
            killed.append(max(process.pid for process in workers))
            os.kill(killed[0], signal.SIGKILL)

    (planned,) = plan_trials(settings)
    result = run_trial(planned, settings, plan_cpus(), raise_descriptor_limit(), kill_one)
    assert killed
    trial = result.trial
    assert not trial.valid
    assert trial.class_ == "generator-limited"
    assert result.failure is not None  # so that the run is marked partial
    found = re.match(
        r"worker [12] of 2 died \(its account ends after [\d,]+ requests\); ([\d,]+) requests "
        r"that were still to come are unsent$", result.failure,
    )  # fmt: skip
    assert found is not None, result.failure
    lost = int(found[1].replace(",", ""))
    client = trial.client
    assert client.unsent_causes == {"lost with its worker": lost}
    assert client.scheduled == client.outcomes.total() == len(result.requests)
    # Half of the users were the dead worker's; what it sent at the last, only the server knows.
    assert set(result.requests["client"]) == set(range(10))
    assert trial.server is not None
    outcomes = client.outcomes
    least = (
        client.scheduled - outcomes.unsent - outcomes.refused - outcomes.timeout - outcomes.reset
    )
    assert trial.server.account.accepted >= least
    assert 0 < lost < 300 + 10


def test_the_lab_takes_its_locust_with_it_when_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "harness.cli", "compare", "--driver", "locust"]
    command += ["--locust-workers", "2", "--rps", "50", "--duration", "60"]
    lab = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    family: dict[int, psutil.Process] = {}
    while sum("--worker" in line for line in map(_words, family.values())) < 2:
        assert lab.poll() is None
        time.sleep(0.02)  # the operating system tells nobody of another's children
        found = psutil.Process(lab.pid).children(recursive=True)
        family = {process.pid: process for process in found}
    lab.kill()
    lab.wait()
    _, alive = psutil.wait_procs(list(family.values()), timeout=20)
    assert alive == []


def test_a_python_without_locust_is_told(tmp_path: Path) -> None:
    # An interpreter that looks for modules as ever, but has no Locust to find.
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def without(name, *rest):\n"
        "    return None if name.split('.')[0] == 'locust' else find(name, *rest)\n"
        "PathFinder.find_spec = without\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    for arguments in (("compare", "--driver", "locust"), ("locust", "thread-pool")):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.cli", *arguments], cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("labrun: Locust is not installed")
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "results").exists()


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--users", "20"), "only Locust has these"),
        (("--locust-workers", "2", "--driver", "closed-loop"), "only Locust has these"),
        (("--driver", "locust", "--users", "0"), "--users"),
        (("--driver", "locust", "--user-class", "http"), "socket"),
        (("--driver", "locust", "--users", "2", "--locust-workers", "3"), "cannot be spread"),
        (("--driver", "locus"), "locust"),
        (("--expect-workers", "2"), "--target and --control"),
        (("--expect-workers", "2", "--generators", "2"), "take one of the two"),
        (("--expect-workers", "9", "--clients", "5"), "cannot be shared by that many"),
        (("--master", "here:5557"), "--expect-workers; add it"),
        (("--driver", "locust", "--expect-workers", "2"), "--target and --control"),
        (("--driver", "locust", "--expect-workers", "0"), "--expect-workers must be from 1"),
        (("--driver", "locust", "--master", "here:5557"), "--expect-workers; add it"),
        (("--target", "127.0.0.1:80"), "--target and --control go together"),
        (("--target", "127.0.0.1", "--control", "127.0.0.1:80"), "write HOST:PORT"),
        (("--target", "127.0.0.1:80", "--control", "127.0.0.1:x"), "write HOST:PORT"),
        (("--target", "127.0.0.1:80", "--control", "127.0.0.1:81", "--python", "x"), "--python"),
    ],
)
def test_bad_options_are_one_sentence(
    labrun: Labrun, arguments: tuple[str, ...], words: str
) -> None:
    done = labrun("compare", "--rps", "200", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--master", "127.0.0.1:9", "--wait", "1"), "no lab at 127.0.0.1:9 within 1 s"),
        (("--master", "127.0.0.1:port"), "write HOST:PORT"),
        (("--master", "127.0.0.1", "--wait", "0"), "--wait must be from 1"),
    ],
)
def test_a_worker_without_a_lab_is_one_sentence(
    labrun: Labrun, arguments: tuple[str, ...], words: str
) -> None:
    done = labrun("locust-worker", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# ---- the locust file by itself --------------------------------------------------------------


def test_payloads_are_as_services_send_them_and_repeat() -> None:
    assert len(names()) == len(set(names())) > 300
    bodies = make_bodies(500, seed=3)
    assert bodies == make_bodies(500, seed=3) != make_bodies(500, seed=4)
    counts = [metric.validate(metric.decode(body)) for body in bodies]
    assert 1 in counts
    assert max(counts) > 1


def test_the_share_of_bad_ones_is_turned_down() -> None:
    assert all(_is_bad(body) for body in make_bodies(50, seed=1, bad_share=1.0))
    some = sum(map(_is_bad, make_bodies(400, seed=1, bad_share=0.25)))
    assert 50 < some < 150


def _is_bad(body: bytes) -> bool:
    try:
        metric.validate(metric.decode(body))
    except Problem as problem:
        return problem.status in (400, 422)
    return False


@pytest.mark.parametrize("user", ["MetricStreamUser", "MetricStreamSocketUser"])
def test_the_file_works_with_the_locust_command(user: str) -> None:
    with closing(RunningServer("thread-pool")) as server:
        for seconds in (2, 10, 30):  # until it has sent anything: a machine may stand still
            done = subprocess.run(
                [sys.executable, "-m", "locust", "-f", str(LOAD / "locustfile.py"), "--headless",
                 "-u", "3", "-r", "3", "-t", f"{seconds}s", "--bad-share", "0.3", "--json",
                 "--host", f"http://127.0.0.1:{server.port}", user],
                capture_output=True, text=True, timeout=90, check=False,
            )  # fmt: skip
            counters = server.report().counters
            assert done.returncode == 0, done.stderr  # turned down on purpose is no failure
            # What the server answered at the last moment may be in no account of Locust's.
            entries = json.loads(done.stdout)
            if entries and {"400", "422"} & set(counters.answered_by_status):
                break
    (entry,) = entries
    assert entry["num_failures"] == 0
    assert 0 < entry["num_requests"] <= counters.answered
    assert set(counters.answered_by_status) & {"400", "422"}


def test_a_share_that_is_none_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOAD / "locustfile.py"), "--headless",
         "--bad-share", "2"], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'2' is no share; give one from 0 to 1" in done.stderr


# ---- the page -------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`labrun locust thread-pool`: its process, the server's address, the page's."""
    command = [sys.executable, "-P", "-m", "harness.cli", "locust", "thread-pool", "--web-port=0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    server, locust = process.stdout.readline(), process.stdout.readline()
    yield process, server.split(": ")[1].strip(), locust.split()[1]
    process.kill()
    process.communicate()


def test_the_page_shows_requests_and_the_servers_own_charts(
    page: tuple[subprocess.Popen[str], str, str],
) -> None:
    process, server, url = page
    children = psutil.Process(process.pid).children(recursive=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        tab = browser.new_page()
        tab.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(url)
        assert server in tab.content()
        tab.fill('input[name="userCount"]', "5")
        tab.fill('input[name="spawnRate"]', "5")
        tab.get_by_role("button", name=re.compile("^start", re.IGNORECASE)).click()
        tab.wait_for_selector("td:has-text('/metrics')")
        for figure, words in (
            ("threads_active", "Threads alive: 16"), ("queue_depth", "Queue depth:"),
            ("context_switches_per_s", "Context switches:"), ("rss_mib", "Resident memory:"),
        ):  # fmt: skip
            tab.wait_for_selector(f"[data-figure={figure}] figcaption:has-text('{words}')")
        tab.get_by_role("button", name=re.compile("^stop$", re.IGNORECASE)).click()
        tab.wait_for_selector("text=STOPPED")
        browser.close()
        assert errors == []
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_the_page_ends_when_its_server_does(
    page: tuple[subprocess.Popen[str], str, str],
) -> None:
    process, _, _ = page
    (server,) = (
        child for child in psutil.Process(process.pid).children() if "servers" in child.cmdline()
    )
    server.kill()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "the server died (SIGKILL)" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("thread-pol",), "thread-pool"),
        (("thread-pool", "--web-port", "70000"), "--web-port"),
        (("thread-pool", "--user-class", "slow"), "--user-class"),
        (("thread-pool,thread-per-request",), "name one"),
    ],
)
def test_a_page_that_cannot_be_is_one_sentence(
    labrun: Labrun, arguments: tuple[str, ...], words: str
) -> None:
    done = labrun("locust", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_of_the_page_that_is_taken_is_told(labrun: Labrun) -> None:
    with closing(RunningServer("thread-pool")) as server:
        done = labrun("locust", "--web-port", str(server.port))
    assert done.returncode == 2
    assert "name another (--web-port)" in done.stderr


# ---- gevent patches the world ---------------------------------------------------------------


def test_neither_gevent_nor_locust_is_in_any_other_process() -> None:
    """One process imports them one after the other and says after which there was what."""
    modules = (
        "harness.drivers.open_loop.worker", "harness.measure.trial", "harness.commands.compare",
        "servers.__main__", "harness.targets.sampler", "harness.commands.locust",
    )  # fmt: skip
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    found = [m for m in sys.modules if m.split('.')[0] in ('gevent', 'locust')]\n"
        "    print(name, found)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *modules], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{name} []" for name in modules]


def test_orders_survive_the_wire() -> None:
    from harness.drivers.locust.config import LocustConfig

    config = LocustConfig("127.0.0.1", 1, "{}", 2, 3.0, "socket", 0, 0.1, 0.2, 0.3, [1], 4)
    assert msgspec.json.decode(msgspec.json.encode(config), type=LocustConfig) == config
