"""Runs with connections that stay: what is counted of them, and accounts that are of requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.labrun import Labrun, assert_measured

APART = "do not reconcile"


def compared(labrun: Labrun, folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The record of a short run with connections that stay, and what was said."""
    done = labrun(
        "compare", "--connections", "keep-alive", "--rps", "400", "--rounds", "1",
        "--duration", "0.5", "--warmup", "0.2", "--clients", "20", "--bare", "--json", "run.json",
        *arguments,
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    return json.loads((folder / "run.json").read_text()), done.stdout


@pytest.mark.parametrize("design", ["blocks", "trials"])
def test_connections_are_counted_and_requests_reconcile(
    labrun: Labrun, tmp_path: Path, design: str
) -> None:
    run, said = compared(
        labrun, tmp_path, "--backends", "thread-per-request,thread-pool,event-loop",
        "--design", design,
    )  # fmt: skip
    assert run["settings"]["connections"] == "keep-alive"
    for trial in run["trials"]:
        client, requests = trial["client"], trial["server"]["requests"]
        assert not [told for told in trial["warnings"] if APART in told]
        kept = client["connections"]
        outcomes = client["outcomes"]
        sent = client["scheduled"] - outcomes["unsent"] - outcomes["refused"]
        assert kept["opened"] + kept["reused"] == sent + kept["retried"]
        assert requests["accepted"] >= outcomes["ok"] > requests["connections"]
        assert kept["reused"] > 0
    assert said.count("Connections to ") == 3


def test_a_server_that_closes_is_counted(labrun: Labrun, tmp_path: Path) -> None:
    run, said = compared(
        labrun, tmp_path, "--design", "trials",
        "--arm", "keeps=event-loop", "--arm", "closes=event-loop --connections per-request",
    )  # fmt: skip
    keeps, closes = (trial["client"] for trial in run["trials"])
    assert keeps["closed_by_server"] == 0
    assert closes["connections"]["reused"] == 0
    assert closes["connections"]["opened"] == closes["outcomes"]["ok"]
    assert closes["closed_by_server"] > 0
    assert "closes has --connections per-request" in said or "closes is event-loop" in said
