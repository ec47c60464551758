"""What a record says of a server that the lab did not start is what that server has (point 26 of
"no figure that flatters": the switch interval was ignored)."""

from __future__ import annotations

import sys

import pytest

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.machine.cpus import plan_cpus
from harness.session.settings import CompareOptions, make_settings
from harness.targets.arm import Arm
from harness.targets.control_client import ControlClient
from harness.targets.start import RemoteServer, examine_target, server_arguments
from tests.support.serving import RunningServer, StartServer

PYTHONS_S = sys.getswitchinterval()


def settings_for(server: RunningServer, switch_interval_s: float | None = None) -> Settings:
    """A run on `server`, as the command line would have it."""
    options = CompareOptions(
        rps="200", backends="thread-pool", servers={"switch_interval_s": switch_interval_s},
        target=f"127.0.0.1:{server.port}", control=f"127.0.0.1:{server.control_port}",
    )  # fmt: skip
    return make_settings(options)


def started(settings: Settings, workers: int | None = None) -> RemoteServer:
    """The server of a trial of such a run."""
    arm = Arm("thread-pool", 0, workers=workers)
    return RemoteServer(arm, settings, server_arguments(arm, settings, plan_cpus()))


def interval_of(server: RunningServer) -> float:
    """What the server that is there now says."""
    with ControlClient("127.0.0.1", server.control_port) as control:
        found = control.report().settings["switch_interval_s"]
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize(
    ("own", "asked_s", "there_s"),
    [
        pytest.param([], 0.0001, 0.0001, id="what is asked for"),
        pytest.param(["--switch-interval=0.1"], 0.0003, 0.0003, id="not what it was started with"),
        pytest.param(["--switch-interval=0.1"], None, PYTHONS_S, id="Python's own"),
    ],
)
def test_a_server_that_may_be_replaced_gets_the_switch_interval_of_the_run(
    own: list[str], asked_s: float | None, there_s: float, start_server: StartServer
) -> None:
    server = start_server("thread-pool", "--allow-restart", *own)
    settings = settings_for(server, asked_s)
    examine_target(settings)
    assert started(settings).fresh
    assert interval_of(server) == pytest.approx(there_s, abs=1e-6)


@pytest.mark.parametrize(
    ("own", "asked_s", "words"),
    [
        pytest.param([], 0.0001, "has --switch-interval 0.005 and the run asks for 0.0001; ask for "
                     "what it has, or start it with --allow-restart", id="asked for"),
        pytest.param(["--switch-interval=0.1"], None, "has --switch-interval 0.1 and the run asks "
                     "for 0.005", id="not asked for"),
    ],
)  # fmt: skip
def test_a_run_is_refused_where_the_server_has_another_and_stays_as_it_is(
    own: list[str], asked_s: float | None, words: str, start_server: StartServer
) -> None:
    settings = settings_for(start_server("thread-pool", "--rate-limit=1000", *own), asked_s)
    with pytest.raises(LabError) as refusal:
        examine_target(settings)
    assert words in str(refusal.value)
    with pytest.raises(LabError, match="--switch-interval"):
        started(settings)


def test_a_server_that_has_what_the_run_asks_for_is_taken(start_server: StartServer) -> None:
    server = start_server("thread-pool", "--switch-interval=0.0003")
    settings = settings_for(server, 0.0003)
    examine_target(settings)
    assert not started(settings).fresh


def test_what_a_restart_cannot_undo_is_refused_as_well(start_server: StartServer) -> None:
    server = start_server("thread-pool", "--allow-restart", "--max-threads=7")
    with pytest.raises(LabError, match=r"--max-threads 7 and the run asks for none;.*without that"):
        started(settings_for(server))


def test_the_settings_of_a_trial_count_where_they_are_its_own(start_server: StartServer) -> None:
    server = start_server("thread-pool")
    with pytest.raises(LabError, match="has --workers 16 and the run asks for 32"):
        started(settings_for(server), workers=32)


def test_an_arm_gets_its_own_options_of_a_server_that_may_be_replaced(
    start_server: StartServer,
) -> None:
    server = start_server("thread-pool", "--allow-restart")
    own = {"workers": 3, "request_deadline_s": 2.5}
    arm, settings = Arm("thread-pool", 0, name="narrow", options=own), settings_for(server)
    assert RemoteServer(arm, settings, server_arguments(arm, settings, plan_cpus())).fresh
    with ControlClient("127.0.0.1", server.control_port) as control:
        there = control.report().settings
    assert {name: there[name] for name in own} == own
