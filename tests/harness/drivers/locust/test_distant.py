"""Server, lab and Locust workers on machines of their own: network namespaces, real processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import psutil
import pytest
import zmq

from harness.drivers.locust.config import LocustConfig
from tests.support.labrun import Labrun, assert_measured
from tests.support.networks import Machine, NoNamespaces, machines

PATIENCE_S = 90.0
TOKEN = {"LABRUN_TOKEN": "open sesame"}
SERVER, CONTROL, MASTER = 8080, 8090, 5557


@pytest.fixture
def four() -> Iterator[list[Machine]]:
    """Server, lab, and two for workers."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(machines(4))
        except NoNamespaces as error:
            pytest.skip(str(error))
        yield found


def serve(machine: Machine, tmp_path: Path, *more: str, number: int = 0) -> subprocess.Popen[bytes]:
    """A server that all can reach, with a token. `number`: of several on a machine."""
    out = tmp_path / f"server{number}"
    server = machine.start(
        "-m", "harness.cli", "serve", "thread-pool",
        f"--host={machine.address}", f"--port={SERVER + number}",
        f"--control-host={machine.address}", f"--control-port={CONTROL + number}", *more,
        out=out, env=TOKEN,
    )  # fmt: skip
    await_text(server, out, "is ready")
    return server


def await_text(process: subprocess.Popen[bytes], out: Path, text: str) -> None:
    """Until a process has said something; files tell nobody when they grow."""
    until_s = time.monotonic() + PATIENCE_S
    while text not in out.read_text():
        assert process.poll() is None, out.read_text()
        assert time.monotonic() < until_s, out.read_text()
        time.sleep(0.02)


def compare(
    lab: Machine, server: Machine, tmp_path: Path, *more: str, env: dict[str, str] = TOKEN
) -> subprocess.Popen[bytes]:
    """A short comparison of what is at `server`; what it says goes to `tmp_path / "lab"`. `more`
    goes before what is usual here, where both name an option."""
    usual = [
        f"--target={server.address}:{SERVER}", f"--control={server.address}:{CONTROL}",
        "--rps=200", "--rounds=1", "--duration=0.6", "--warmup=0.2", "--clients=20", "--bare",
        f"--out={tmp_path / 'results'}",
    ]  # fmt: skip
    given = {option.partition("=")[0] for option in more}
    usual = [option for option in usual if option.partition("=")[0] not in given]
    return lab.start("-m", "harness.cli", "compare", *usual, *more, out=tmp_path / "lab", env=env)


def end_of(process: subprocess.Popen[bytes], tmp_path: Path) -> tuple[int, str]:
    """Exit status and all that the lab said, in one line."""
    status = process.wait(PATIENCE_S)
    return status, " ".join((tmp_path / "lab").read_text().split())


def record(tmp_path: Path) -> dict[str, Any]:
    (folder,) = (tmp_path / "results").iterdir()
    found: dict[str, Any] = json.loads((folder / "run.json").read_bytes())
    return found


def assert_accounted(trial: dict[str, Any]) -> None:
    """All that was scheduled has an outcome, and whoever was answered was counted by the server.
    How many were answered in time is the machine's affair."""
    client, counted = trial["client"], trial["server"]["requests"]
    assert client["scheduled"] == sum(client["outcomes"].values())
    assert 0 < client["outcomes"]["ok"] <= counted["answered"] <= counted["accepted"]


def hire(machines: list[Machine], lab: Machine, tmp_path: Path) -> list[subprocess.Popen[bytes]]:
    """A worker on each machine."""
    return [
        machine.start(
            "-m",
            "harness.cli",
            "locust-worker",
            f"--master={lab.address}",
            out=tmp_path / f"worker{number}",
        )
        for number, machine in enumerate(machines, 1)
    ]


def test_both_backends_of_another_machine_are_compared(four: list[Machine], tmp_path: Path) -> None:
    server, lab, *_ = four
    serving = serve(server, tmp_path, "--allow-restart")
    status, said = end_of(compare(lab, server, tmp_path), tmp_path)
    assert_measured(status, said)
    assert "The server was at 10.77.0.1:8080" in said
    run = record(tmp_path)
    assert run["complete"]
    assert [t["backend"] for t in run["trials"]] == ["thread-per-request", "thread-pool"]
    assert len({t["server"]["pid"] for t in run["trials"]}) == 2
    for trial in run["trials"]:
        assert_accounted(trial)
        assert trial["server"]["fresh_process"]
        # What only the server's own machine knows is not known, and is not 0.
        assert set(trial["kernel"].values()) == {None}
        assert trial["server"]["threads_seen_by_os_peak"] is None
        assert trial["server"]["memory"]["rss_mean_bytes"] is None
        assert trial["server"]["memory"]["rss_peak_bytes"] > 0
    assert run["environment"]["server_cpus"] is None
    serving.send_signal(signal.SIGINT)
    assert serving.wait(PATIENCE_S) == 0
    assert server.processes() == []


def test_a_server_that_may_not_be_replaced_is_not_fresh(
    four: list[Machine], tmp_path: Path
) -> None:
    server, lab, *_ = four
    serve(server, tmp_path, "--workers=3")
    status, said = end_of(compare(lab, server, tmp_path), tmp_path)
    assert status == 2
    assert "runs thread-pool and lets nobody replace it by thread-per-request" in said
    status, said = end_of(compare(lab, server, tmp_path, "--backends=thread-pool"), tmp_path)
    assert status == 2
    assert "has --workers 3 and the run asks for 16" in said
    assert not list((tmp_path / "results").iterdir())
    asked = compare(lab, server, tmp_path, "--backends=thread-pool", "--workers=3")
    status, said = end_of(asked, tmp_path)
    assert_measured(status, said)
    assert "process was not started for this trial" in said
    (trial,) = record(tmp_path)["trials"]
    assert not trial["server"]["fresh_process"]
    assert_accounted(trial)


def test_workers_of_other_machines_share_the_users(four: list[Machine], tmp_path: Path) -> None:
    server, lab, *others = four
    serve(server, tmp_path, "--allow-restart")
    workers = hire(others, lab, tmp_path)
    asked = compare(lab, server, tmp_path, "--driver=locust", "--expect-workers=2")
    status, said = end_of(asked, tmp_path)
    assert_measured(status, said)
    assert "in 2 workers of other machines" in said
    run = record(tmp_path)
    assert run["settings"]["expect_workers"] == 2
    assert len(run["trials"]) == 2
    for trial in run["trials"]:
        assert_accounted(trial)
    for number, worker in enumerate(workers, 1):
        await_text(worker, tmp_path / f"worker{number}", "trial 2 is over")
        worker.send_signal(signal.SIGINT)
        assert worker.wait(PATIENCE_S) == 130


def test_engines_of_other_machines_send_as_one(four: list[Machine], tmp_path: Path) -> None:
    server, lab, *others = four
    serve(server, tmp_path, "--allow-restart")
    workers = hire(others, lab, tmp_path)
    more = ("--expect-workers=2", "--arrivals=constant", "--clients=25")
    status, said = end_of(compare(lab, server, tmp_path, *more), tmp_path)
    assert_measured(status, said)
    assert "2 workers of other machines sent, each for its own clients" in said
    run = record(tmp_path)
    assert run["complete"]
    assert run["settings"]["driver"] == "open-loop"
    assert len(run["trials"]) == 2
    for trial in run["trials"]:
        assert_accounted(trial)
        assert trial["client"]["scheduled"] == 120  # 200 a second for 0.6 s
        assert [part["scheduled"] for part in trial["client"]["generators"]] == [62, 58]
        for part in trial["client"]["generators"]:
            # One machine, so one clock; the answer was on its way for no longer than the error.
            assert abs(part["clock_ahead_us"]) <= part["clock_error_us"]
            assert part["machine"] == socket.gethostname()
    (folder,) = (tmp_path / "results").iterdir()
    rows = pd.read_parquet(folder / "requests.parquet")
    assert len(rows) == 240
    assert sorted(rows["client"].unique()) == list(range(25))
    for number, worker in enumerate(workers, 1):
        await_text(worker, tmp_path / f"worker{number}", "trial 2 is over")
        worker.send_signal(signal.SIGINT)
        assert worker.wait(PATIENCE_S) == 130
    assert [machine.processes() for machine in (lab, *others)] == [[], [], []]


def test_engines_of_other_machines_load_two_servers_in_turns(
    four: list[Machine], tmp_path: Path
) -> None:
    server, lab, *others = four
    for number in (0, 1):
        serve(server, tmp_path, "--allow-restart", number=number)
    hire(others, lab, tmp_path)
    targets, controls = (
        ",".join(f"{server.address}:{first + number}" for number in (0, 1))
        for first in (SERVER, CONTROL)
    )
    asked = compare(lab, server, tmp_path, f"--target={targets}", f"--control={controls}",
                    "--expect-workers=2", "--rps=1000", "--duration=1",
                    "--arrivals=constant")  # fmt: skip
    status, said = end_of(asked, tmp_path)
    assert_measured(status, said)
    assert "2 workers of other machines sent, each for its own clients" in said
    run = record(tmp_path)
    assert run["settings"]["design"] == "blocks"
    assert len(run["trials"]) == 2
    for trial in run["trials"]:
        assert_accounted(trial)
        assert len(trial["blocks"]) == 2
        assert [part["scheduled"] for part in trial["client"]["generators"]] == [500, 500]


class Master:
    """As much of Locust's master as greets a worker: this end of the wire, byte by byte."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._socket = context.socket(zmq.ROUTER)
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._worker = b""

    def hear(self, kind: str) -> Any:
        """The data of the next message of this kind; others are passed over."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            if self._socket.poll(1000):
                self._worker, said = self._socket.recv_multipart()
                found, data, _ = msgspec.msgpack.decode(said)
                if found == kind:
                    return data
        pytest.fail(f"the worker never said {kind}")

    def say(self, kind: str, data: object = None) -> None:
        """A message to the worker heard last."""
        said = msgspec.msgpack.encode((kind, data, self._worker.decode()))
        self._socket.send_multipart([self._worker, said])


def test_an_order_on_the_heels_of_the_greeting_is_understood(tmp_path: Path) -> None:
    """A worker that stood still for a moment finds both at once ("that all workers understood
    their order did not happen within 30 s")."""
    config = LocustConfig(
        host="127.0.0.1", port=9, body="{}", users=1, rps=1.0, user_class="fast", workers=1,
        warmup_s=0.0, duration_s=1.0, timeout_s=1.0, cpus=[], measured_fd=-1, number=7,
    )  # fmt: skip
    with zmq.Context[zmq.Socket[bytes]]() as context, (tmp_path / "worker").open("wb") as out:
        master = Master(context)
        command = [sys.executable, "-P", "-m", "harness.cli", "locust-worker"]
        worker = subprocess.Popen([*command, f"--master=127.0.0.1:{master.port}"], stdout=out)
        try:
            master.hear("client_ready")
            master.say("ack", {"index": 0})
            master.say("lab_order", msgspec.to_builtins(config))
            assert master.hear("lab_ready") == {"number": 7}
            master.say("lab_end")
            await_text(worker, tmp_path / "worker", "trial 1 is over")
            worker.send_signal(signal.SIGINT)
            assert worker.wait(PATIENCE_S) == 130
        finally:
            worker.kill()
            worker.wait()
            context.destroy(linger=0)


FLEETS = {"locust": ["--driver=locust", "--expect-workers=2"],
          "engines": ["--driver=open-loop", "--expect-workers=2"]}  # fmt: skip


@pytest.mark.parametrize("driver", ["open-loop", "locust"])
def test_a_cable_that_is_pulled_ends_the_run_as_partial(
    driver: str, four: list[Machine], tmp_path: Path
) -> None:
    server, lab, *others = four
    serve(server, tmp_path)
    more = [f"--driver={driver}", "--backends=thread-pool", "--duration=5", "--timeout=0.5"]
    if driver == "locust":
        hire(others, lab, tmp_path)
        more.append("--expect-workers=2")
    asked = compare(lab, server, tmp_path, *more)
    until_the_window_is_open(server, tmp_path)
    server.cut()
    status, said = end_of(asked, tmp_path)
    assert status == 2, said
    assert "the control port 10.77.0.1:8090 did not answer" in said
    run = record(tmp_path)
    assert not run["complete"]
    (trial,) = run["trials"]
    assert not trial["valid"]
    outcomes = trial["client"]["outcomes"]
    assert trial["client"]["scheduled"] == sum(outcomes.values())
    assert outcomes["ok"] > 0
    assert outcomes["timeout"] > 0
    assert lab.processes() == []


@pytest.mark.parametrize("fleet", FLEETS)
def test_a_worker_that_is_killed_is_a_named_gap(
    fleet: str, four: list[Machine], tmp_path: Path
) -> None:
    server, lab, *others = four
    serve(server, tmp_path)
    hire(others, lab, tmp_path)
    asked = compare(lab, server, tmp_path, *FLEETS[fleet], "--backends=thread-pool",
                    "--duration=5", "--timeout=10")  # fmt: skip
    until_the_window_is_open(server, tmp_path)
    for process in others[0].processes():
        process.kill()
    status, said = end_of(asked, tmp_path)
    assert status == 2, said
    assert "of 2 died (its account ends after" in said
    run = record(tmp_path)
    assert not run["complete"]
    (trial,) = run["trials"]
    client = trial["client"]
    assert client["unsent_causes"] == {"lost with its worker": client["outcomes"]["unsent"]}
    assert client["scheduled"] == sum(client["outcomes"].values())
    assert lab.processes() == []


def until_the_window_is_open(server: Machine, tmp_path: Path) -> None:
    """Until more requests were answered than a warm-up has: asked of the server, on its machine."""
    script = (
        "import http.client, sys, time\n"
        "import json\n"
        "until = time.monotonic() + 60\n"
        "while time.monotonic() < until:\n"
        f"    ask = http.client.HTTPConnection('{server.address}', {CONTROL})\n"
        "    ask.request('GET', '/report', headers={'Authorization': 'Bearer open sesame'})\n"
        "    if json.load(ask.getresponse())['counters']['answered'] > 150:\n"
        "        sys.exit(0)\n"
        "    time.sleep(0.02)\n"
        "sys.exit(1)\n"
    )
    (tmp_path / "look.py").write_text(script)
    looking = server.start(str(tmp_path / "look.py"), out=tmp_path / "look")
    assert looking.wait(PATIENCE_S) == 0, (tmp_path / "look").read_text()


def test_what_cannot_be_reached_is_one_sentence(four: list[Machine], tmp_path: Path) -> None:
    server, lab, *_ = four
    serve(server, tmp_path)
    there, control = f"{server.address}:{SERVER}", f"{server.address}:{CONTROL}"
    nowhere = "10.77.0.99"
    cases = [
        ("open barley", there, control, "refused the token; set LABRUN_TOKEN"),
        ("open sesame", there, f"{nowhere}:{CONTROL}", "did not answer: No route to host"),
        ("open sesame", f"{nowhere}:{SERVER}", control, "does not answer: No route to host"),
        ("open sesame", there, there, "no control port of a MetricStream"),
        ("open sesame", f"{server.address}:9", control, "does not answer: Connection refused"),
    ]
    script = (
        "import json, os, sys\n"
        "from contextlib import redirect_stderr, redirect_stdout\n"
        "from io import StringIO\n"
        "from harness.cli import main\n"
        "answers = []\n"
        "for token, target, control, _ in json.loads(sys.argv[1]):\n"
        "    os.environ['LABRUN_TOKEN'] = token\n"
        "    said = StringIO()\n"
        "    with redirect_stdout(said), redirect_stderr(said):\n"
        "        status = main(['compare', f'--target={target}', f'--control={control}',\n"
        "                       '--rps=200', '--backends=thread-pool'])\n"
        "    answers.append((status, said.getvalue()))\n"
        "print(json.dumps(answers))\n"
    )
    (tmp_path / "ask.py").write_text(script)
    asking = lab.start(str(tmp_path / "ask.py"), json.dumps(cases), out=tmp_path / "asked")
    assert asking.wait(PATIENCE_S) == 0, (tmp_path / "asked").read_text()
    answers = json.loads((tmp_path / "asked").read_text())
    for (*_, words), (status, said) in zip(cases, answers, strict=True):
        assert_one_sentence(status, said, words)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no such host:80", "--target no such host:80: "),
        ("here", "--target 'here' is no address; write HOST:PORT"),
    ],
)
def test_what_is_no_address_is_one_sentence(labrun: Labrun, target: str, words: str) -> None:
    done = labrun("compare", f"--target={target}", "--control=127.0.0.1:9", "--rps=200")
    assert_one_sentence(done.returncode, done.stdout + done.stderr, words)


def assert_one_sentence(status: int, said: str, words: str) -> None:
    assert status == 2, said
    assert words in " ".join(said.split())
    assert said.startswith("labrun: ")
    assert "Traceback" not in said
    assert said.count("\n") == 1


def test_workers_that_never_come_are_not_waited_for_forever(
    four: list[Machine], tmp_path: Path
) -> None:
    server, lab, one, _ = four
    serve(server, tmp_path)
    hire([one], lab, tmp_path)
    asked = compare(lab, server, tmp_path, "--driver=locust", "--expect-workers=2",
                    "--backends=thread-pool", "--worker-wait=4")  # fmt: skip
    status, said = end_of(asked, tmp_path)
    assert status == 2, said
    assert "1 of 2 workers came to 0.0.0.0:5557 within 4 s; run labrun locust-worker" in said
    assert not record(tmp_path)["complete"]


def test_an_engine_that_dies_is_told_by_its_worker(four: list[Machine], tmp_path: Path) -> None:
    server, lab, *others = four
    serve(server, tmp_path)
    hire(others, lab, tmp_path)
    asked = compare(lab, server, tmp_path, *FLEETS["engines"], "--backends=thread-pool",
                    "--duration=5", "--timeout=10", "--clients=1000")  # fmt: skip
    until_the_window_is_open(server, tmp_path)
    (engine,) = [each for each in others[1].processes() if "open_loop.worker" in words_of(each)]
    engine.kill()
    status, said = end_of(asked, tmp_path)
    assert status == 2, said
    assert "of 2 died (its account ends after" in said
    assert "the engine died (SIGKILL)" in said
    (trial,) = record(tmp_path)["trials"]
    assert trial["class"] == "generator-limited"
    client = trial["client"]
    assert client["unsent_causes"] == {"lost with its worker": client["outcomes"]["unsent"]}
    assert client["scheduled"] == sum(client["outcomes"].values())


def words_of(process: psutil.Process) -> str:
    return " ".join(process.cmdline())
