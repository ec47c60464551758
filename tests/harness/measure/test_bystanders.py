"""Clients beside those that are measured: what becomes of them is told, and none of it is in the
account of those that are."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.core.record import Requests
from harness.drivers.bystanders import Count, KindCount
from harness.machine.cpus import plan_cpus
from harness.measure.bystanders import Bystanders, Cost, attach, grown, together, without
from harness.targets.processes import ServerReady
from tests.support import any_server
from tests.support.labrun import Labrun, assert_measured
from tests.support.made import make_settings
from tests.support.serving import PATIENCE_S, RunningServer, StartServer, servers

APART = "do not reconcile"
BACKENDS = ("thread-per-request", "thread-pool", "event-loop")


@pytest.fixture
def start_server() -> Any:
    """Start servers that end with the test."""
    with servers() as start:
        yield start


def beside(stack: ExitStack, server: RunningServer, **changes: Any) -> Bystanders:
    ready = ServerReady(**server.ready)
    found = attach(stack, ready, make_settings(**changes), plan_cpus(), elsewhere=False)
    assert found is not None
    return found


def until(found: Bystanders, holds: Any) -> Count:
    """The first count of which `holds` is true."""
    for _ in range(int(PATIENCE_S / 0.05)):
        if holds(count := found.count()):
            return count
        threading.Event().wait(0.05)  # nothing tells of what they do but their count
    raise AssertionError(f"it did not happen: {found.count()}")


@pytest.mark.parametrize("backend", BACKENDS)
def test_server_and_bystanders_agree_on_what_is_in_progress(
    start_server: StartServer, backend: str
) -> None:
    server = start_server(backend, "--request-deadline=60")
    with ExitStack() as stack:
        found = beside(stack, server, slow_clients=4, idle_connections=3)
        report, count = found.agreed(server.report, PATIENCE_S)
    # Every other slow client sends its request whole, and is answered.
    assert count.slow.answered in ({"202": 2}, {})  # the pool has them behind others, if it is full
    assert report.counters.in_progress == count.in_progress
    assert report.counters.accepted == count.slow.begun + count.idle.begun == 7
    assert count.idle == KindCount(connections=3, begun=3, open=3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_connections_stay_an_idle_one_is_no_request(
    start_server: StartServer, backend: str
) -> None:
    server = start_server(backend, "--connections=keep-alive")
    with ExitStack() as stack:
        found = beside(stack, server, idle_connections=20, connections="keep-alive")
        report, count = found.agreed(server.report, PATIENCE_S)
        assert report.counters.idle_connections == 20
    assert (report.counters.accepted, count.in_progress) == (0, 0)
    assert count.idle == KindCount(connections=20, open=20)
    threads = {"thread-per-request": 1.0}.get(backend, 0.0)
    assert found.each.threads == threads


def test_what_the_server_closes_is_opened_again_and_counted(start_server: StartServer) -> None:
    server = start_server("event-loop", "--request-deadline=0.2")
    with ExitStack() as stack:
        found = beside(stack, server, slow_clients=2, idle_connections=2)
        count = until(found, lambda c: c.idle.answered.get("408", 0) >= 4)
        assert count.idle.connections >= 4
        until(found, lambda c: c.slow.answered.get("408", 0) >= 2)
        found.count(b"hold")
        report, count = found.agreed(server.report, PATIENCE_S)
    # Exact: every answer that the server has sent was read by one of them.
    theirs = together([count])
    assert theirs.answered == report.counters.answered_by_status
    assert theirs.begun == report.counters.accepted
    assert theirs.unanswered == 0


def test_those_that_cannot_connect_are_counted(closed_port: int) -> None:
    settings = make_settings(slow_clients=1, idle_connections=1)
    with Bystanders(
        "127.0.0.1", closed_port, settings, plan_cpus(), lambda: Cost(None, None), lambda: None
    ) as found:
        count = found.count()
    assert count.slow.refused >= 1
    assert count.idle.refused >= 1
    assert (count.slow.connections, found.each.rss_bytes) == (0, None)


def test_what_bystanders_did_is_taken_out_of_the_account() -> None:
    before = Count(KindCount(2, 0, 2, {"202": 1}, 0, 10), KindCount(3, 0, 3))
    after = Count(
        KindCount(6, 1, 6, {"202": 1, "408": 3}, 1, 2_000_000_010, 1), KindCount(3, 0, 3, open=3)
    )
    theirs = together([grown(before, after)])
    assert (theirs.begun, theirs.answered, theirs.unanswered) == (4, {"408": 3}, 1)
    account = Requests(
        accepted=104, answered=102, answered_by_status={"202": 99, "408": 3}, reset=2, held_s=3.0
    )
    mine = without(account, theirs)
    assert (mine.accepted, mine.answered, mine.reset) == (100, 99, 1)
    assert mine.answered_by_status == {"202": 99}
    assert mine.held_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("design", "connections"),
    [("trials", "per-request"), ("blocks", "keep-alive"), ("blocks", "per-request")],
)
def test_a_run_beside_them_reconciles_and_tells_of_them(
    labrun: Labrun, tmp_path: Path, design: str, connections: str
) -> None:
    done = labrun(
        "compare", "--backends", "thread-per-request,event-loop", "--rps", "300", "--rounds", "1",
        "--duration", "0.5", "--warmup", "0.2", "--slow-clients", "6", "--idle-connections", "30",
        "--design", design, "--connections", connections, "--bare", "--json", "run.json",
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    run = json.loads((tmp_path / "run.json").read_text())
    for trial in run["trials"]:
        assert not [told for told in trial["warnings"] if APART in told]
        outcomes = trial["client"]["outcomes"]
        account = trial["server"]["requests"]
        assert account["answered_by_status"].get("202", 0) >= outcomes["ok"]
        assert account["in_progress"] == account["in_progress_at_start"] == 0
        assert trial["bystanders"]["idle"]["open"] == 30
        assert trial["bystanders"]["slow"]["asked"] == 6
        assert trial["server"]["memory"]["per_connection_bytes"] is not None
    for words in ("6 slow clients", "30 idle connections"):
        assert words in done.stdout
    if done.returncode == 0:  # else no trial was valid, and there is no figure
        assert "Memory/connection" in done.stdout


def test_a_run_without_them_has_no_row_of_theirs(labrun: Labrun) -> None:
    done = labrun(
        "compare", "--backends", "event-loop", "--rps", "200", "--rounds", "1", "--duration", "0.5",
        "--warmup", "0", "--bare",
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    assert "connection" not in done.stdout
    assert "Beside" not in done.stdout


def test_any_server_has_bystanders_too(labrun: Labrun, tmp_path: Path) -> None:
    done = labrun(
        "compare", "--server", f"good={sys.executable} {any_server.__file__} good {{port}}",
        "--rps", "100", "--rounds", "1", "--duration", "0.5", "--warmup", "0.2", "--design",
        "trials", "--idle-connections", "10", "--bare", "--json", "run.json",
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    (trial,) = json.loads((tmp_path / "run.json").read_text())["trials"]
    assert trial["bystanders"]["idle"]["open"] == 10
