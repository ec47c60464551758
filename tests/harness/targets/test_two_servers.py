"""`--target A,B --control C,D`: a server for each backend, alive together and loaded in turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.targets.control_client import ControlClient
from tests.support.labrun import Labrun, assert_measured
from tests.support.serving import RunningServer, servers

BOTH = ("thread-per-request", "thread-pool")
SHORT = ("--rps=200", "--rounds=1", "--duration=1", "--warmup=0", "--bare")


@pytest.fixture(scope="module")
def two() -> Iterator[list[RunningServer]]:
    """Two servers whose processes may be replaced."""
    with servers() as start:
        yield [start("thread-pool", "--allow-restart") for _ in BOTH]


def at(*found: RunningServer) -> list[str]:
    """The options that name them."""
    ports = [(server.port, server.control_port) for server in found]
    targets, controls = (
        ",".join(f"127.0.0.1:{p}" for p in side) for side in zip(*ports, strict=True)
    )
    return [f"--target={targets}", f"--control={controls}"]


def record(folder: Path) -> dict[str, Any]:
    (found,) = (folder / "results").iterdir()
    run: dict[str, Any] = json.loads((found / "run.json").read_bytes())
    return run


def test_two_servers_elsewhere_are_loaded_in_turns(
    two: list[RunningServer], labrun: Labrun, tmp_path: Path
) -> None:
    done = labrun("compare", *at(*two), *SHORT)
    assert_measured(done.returncode, done.stderr)
    run = record(tmp_path)
    assert run["complete"]
    assert run["settings"]["design"] == "blocks"
    assert [trial["backend"] for trial in run["trials"]] == [*BOTH]
    assert len({trial["server"]["pid"] for trial in run["trials"]}) == 2
    for trial in run["trials"]:
        assert trial["blocks"]
        assert trial["server"]["fresh_process"]
        assert trial["server"]["requests"]["accepted"] == sum(
            b["accepted"] for b in trial["blocks"]
        )
        # What only the servers' own machine knows is not known, and is not 0.
        assert set(trial["kernel"].values()) == {None}
        assert {block["others_cpu_share"] for block in trial["blocks"]} == {None}
        assert not [told for told in trial["warnings"] if "reconcile" in told]
    said = " ".join(done.stdout.split())
    assert f"The servers were at 127.0.0.1:{two[0].port} and 127.0.0.1:{two[1].port}" in said
    # They are left running, at rest.
    for server in two:
        with ControlClient("127.0.0.1", server.control_port) as control:
            assert control.report().counters.in_progress == 0


def test_one_server_elsewhere_has_whole_trials_and_that_is_said(
    two: list[RunningServer], labrun: Labrun, tmp_path: Path
) -> None:
    done = labrun("compare", *at(two[0]), *SHORT)
    assert_measured(done.returncode, done.stderr)
    run = record(tmp_path)
    assert run["settings"]["design"] == "trials"
    assert [trial["blocks"] for trial in run["trials"]] == [[], []]
    assert "In whole trials, since blocks need a server for each backend" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target=a:1,b:2", "--control=a:3"], "--target names 2 and --control 1; name the"),
        (["--target=a:1,b:2,c:3", "--control=a:4,b:5,c:6"], "names 3 and 2 are compared"),
        (["--target=a:1,a:1", "--control=a:3,a:4"], "--target names a:1 twice; each server has"),
        (["--target=a:1,b", "--control=a:3,b:4"], "--target 'b' is no address"),
        (["--target=a:1", "--control=a:3", "--design=blocks"], "blocks need a server for each"),
    ],
)
def test_servers_that_do_not_fit_the_backends_are_one_sentence(
    labrun: Labrun, arguments: list[str], words: str
) -> None:
    done = labrun("compare", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_each_server_must_be_reachable(
    two: list[RunningServer], labrun: Labrun, closed_port: int, tmp_path: Path
) -> None:
    """The one that is not is named, and nothing is measured."""
    targets, controls = at(*two)
    first = targets.partition(",")[0]
    done = labrun("compare", f"{first},127.0.0.1:{closed_port}", controls, *SHORT)
    assert done.returncode == 2
    assert f"--target 127.0.0.1:{closed_port} does not answer" in done.stderr
    assert not list((tmp_path / "results").iterdir())
