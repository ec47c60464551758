"""Peers by name: each that is installed takes a metric as ours do."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.drivers.open_loop.driver import target_config
from harness.drivers.payloads import THE_METRIC
from harness.machine.cpus import plan_cpus
from harness.measure.first_request import look_at_one
from harness.peers import PEERS, is_installed
from harness.peers.apps import answer
from harness.session.settings import CompareOptions, make_settings
from harness.targets.arm import arms_of
from harness.targets.outside import start_outside
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_installed_takes_a_metric(name: str, tmp_path: Path) -> None:
    if not is_installed(name):
        pytest.skip(f"{name} is not installed (.[peers])")
    settings = make_settings(CompareOptions(backends="", server=[name]))
    (arm,) = arms_of(settings)
    with start_outside(arm, settings, plan_cpus(), tmp_path) as server:
        request = target_config(server.host, server.port, settings).requests[0]
        look_at_one(server, request.encode("latin-1"), THE_METRIC)


def test_they_do_the_same_job() -> None:
    assert answer("POST", "/metrics", THE_METRIC.body.encode()) == (202, b'{"accepted": 1}')
    assert answer("POST", "/metrics", b"{")[0] == 400
    assert answer("POST", "/metrics", b"{}")[0] == 422
    assert answer("GET", "/metrics", b"")[0] == 404


def test_a_name_that_is_none_has_its_near_one_named(labrun: Labrun) -> None:
    assert_one_sentence(labrun("compare", "--server", "http.sever"), "did you mean http.server?")


def test_backends_lists_them(labrun: Labrun, tmp_path: Path) -> None:
    (tmp_path / "labrun.toml").write_text("[servers.old]\ncommand = './old {port}'\n")
    told = labrun("backends").stdout
    assert "--server http.server" in told
    assert "old" in told
    assert "./old '{port}' (labrun.toml)" in told
