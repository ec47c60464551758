"""The servers in C++: how they come to be, and what the other tests of servers do not see of them.

Those run against them too, where no handler goes wrong on purpose.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import pytest

from harness.core.errors import LabError
from harness.targets.control_client import ControlClient
from harness.targets.start import build_native
from servers.native.build import NATIVE as SOURCES
from servers.report import STAGES, Report
from servers.restart import Restart
from tests.support.serving import (
    NATIVE,
    PATIENCE_S,
    StartServer,
    connect,
    exchange,
    metric_request,
    needs_compiler,
    read_answer,
)

MIB = 1024 * 1024
POOL, THREADS = "native-thread-pool", "native-thread-per-request"
DEEP = b'{"name":"a","value":1,"other":' + b"[" * 15 + b"]" * 15 + b"}"


def run(cache: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m servers` with a cache of its own, until its first line, or its end without one."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "servers", *arguments, "--port=0", "--exit-with-parent"],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)} | environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        _, said = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, line, said)


def test_the_installed_package_has_the_sources() -> None:
    folder = files("servers").joinpath("native")
    assert all(folder.joinpath(source).is_file() for source in SOURCES.values())
    assert folder.joinpath("server.hpp").is_file()


@needs_compiler
def test_a_server_is_built_on_first_use_which_is_said_and_then_kept(tmp_path: Path) -> None:
    first, second = run(tmp_path, POOL), run(tmp_path, POOL)
    assert json.loads(first.stdout)["backend"] == POOL, first.stderr
    said = first.stderr.splitlines()[0]
    assert said.startswith(f"{POOL}: built with ")
    assert said.endswith(f"kept as {next((tmp_path / 'metricstream-lab').iterdir())}")
    assert "built" not in second.stderr
    assert json.loads(second.stdout)["backend"] == POOL
    assert len(list((tmp_path / "metricstream-lab").iterdir())) == 1


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CXX": "no-such-compiler"}, "there is no C++ compiler here (no-such-compiler)"),
        ({"PATH": "/nowhere", "CXX": ""}, "there is no C++ compiler here (c++, g++, clang++)"),
        ({"CXX": "false"}, "cannot be run: no reason given; name another in CXX"),
        ({"CXX": "echo", "XDG_CACHE_HOME": "/proc/no"}, "name another folder in XDG_CACHE_HOME"),
    ],
    ids=["a compiler that is not there", "none", "one that fails", "no folder to write to"],
)
def test_without_a_compiler_it_is_one_sentence_and_all_else_works(
    environment: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(tmp_path, POOL, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert run(tmp_path, "thread-pool", **environment).stdout.startswith('{"backend"')
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LabError, match=r"C\+\+|CXX|XDG_CACHE_HOME"):
        build_native(["thread-pool", POOL])
    build_native(["thread-pool"])


def test_what_only_an_interpreter_has_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, POOL, "--switch-interval=0.001")
    assert done.returncode == 2
    assert "leave out --switch-interval" in done.stderr


@needs_compiler
def test_the_report_has_stages_settings_and_what_the_threads_did(start_server: StartServer) -> None:
    for backend in NATIVE:
        server = start_server(backend, "--workers=3", "--stack-size=64KiB", "--workload=io:1ms")
        for _ in range(5):
            assert exchange(server.port, metric_request()).status == 202
        report = server.until(lambda report: report.stage_rows == 5)
        assert set(report.stages_us) == set(STAGES)
        assert all(0 <= f.p50 <= f.p99 and f.mean > 0 for f in report.stages_us.values())
        assert (report.settings["workers"], report.settings["workload"]) == (3, "io:1ms")
        assert report.process.stack_size_bytes == 64 * 1024
        assert report.counters.metrics_taken == 5
        created, queued = report.gauges.threads_created, report.gauges.queue_depth
        assert (created, queued) == ((3, 0) if backend == POOL else (5, None))
        with ControlClient("127.0.0.1", server.control_port) as control:
            window = control.open_window()
        assert (window.stage_rows, window.stages_us) == (0, {})
        assert window.counters.answered == 5


@pytest.mark.parametrize("native", NATIVE)
@needs_compiler
def test_the_smallest_stack_holds_the_deepest_body(native: str, start_server: StartServer) -> None:
    server = start_server(native, "--stack-size=32KiB")
    assert exchange(server.port, metric_request(body=DEEP)).status == 202
    assert exchange(server.port, metric_request(body=b"[" * 100_000)).status == 400
    assert server.reconciled().answered == 2


@pytest.mark.parametrize("native", NATIVE)
@needs_compiler
def test_what_a_drain_cannot_finish_in_time_is_closed_and_told(
    native: str, start_server: StartServer
) -> None:
    server = start_server(native, "--workers=1", "--request-deadline=0.1", "--workload=io:4s")
    with server.asked(3):
        server.until(lambda report: report.counters.accepted == 3)
        assert server.stop() == 1
    assert server.last_account() == (3, 0, 0, 0, 3)


@needs_compiler
def test_a_cap_on_live_threads_is_kept_and_told(start_server: StartServer) -> None:
    server = start_server(THREADS, "--max-threads=2", "--request-deadline=60")
    with ExitStack() as stack:
        served = [stack.enter_context(connect(server.port)) for _ in range(2)]
        server.until(lambda report: report.gauges.threads_active == 2)
        refused = exchange(server.port, metric_request())
        assert refused.status == 503
        assert b"all of its 2 threads are busy" in refused.body
        for sock in served:
            sock.sendall(metric_request())
        assert [read_answer(sock).status for sock in served] == [202, 202]
    assert server.reconciled().rejected_no_thread == 1
    assert server.until(lambda report: report.gauges.threads_active == 0).gauges.threads_peak == 2


@needs_compiler
def test_threads_that_cannot_be_started_are_503(start_server: StartServer) -> None:
    server = start_server(
        THREADS, "--stack-size=64MiB", "--request-deadline=60", env={"MALLOC_ARENA_MAX": "1"}
    )
    status = Path(f"/proc/{server.pid}/status").read_text()
    used = int(status.partition("VmSize:")[2].split()[0]) * 1024
    server.limit(resource.RLIMIT_AS, used + 3 * 64 * MIB + 32 * MIB)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(12)]
        server.until(lambda report: report.counters.rejected_no_thread
                     + report.gauges.threads_created == len(clients))  # fmt: skip
        for sock in clients:
            sock.sendall(metric_request())
        statuses = [read_answer(sock).status for sock in clients]
    assert set(statuses) == {202, 503}
    assert server.reconciled().rejected_no_thread == statuses.count(503)


@needs_compiler
def test_locked_stacks_are_resident(start_server: StartServer) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() != 0 and soft != resource.RLIM_INFINITY:
        pytest.skip("only root may lock memory here")
    server = start_server(POOL, "--workers=8", "--stack-size=8MiB", "--lock-stacks")
    assert server.report().process.rss_bytes > 8 * 8 * MIB


@needs_compiler
def test_python_follows_cpp_and_cpp_python_on_one_address(start_server: StartServer) -> None:
    server = start_server(POOL, "--allow-restart", "--workers=3")
    with ControlClient("127.0.0.1", server.control_port) as control:
        with pytest.raises(ValueError, match="not for the control port to choose"):
            control.restart(Restart(THREADS, ["--port=1"]))
        for backend in ("thread-pool", THREADS):
            control.restart(Restart(backend, ["--backlog=9"]))
            assert server.process.stdout is not None
            ready = json.loads(server.process.stdout.readline())
            assert (ready["backend"], ready["port"]) == (backend, server.port)
            report: Report = control.report()
            assert (report.backend, report.settings["backlog"]) == (backend, 9)
            assert report.settings["workers"] == 3
    assert exchange(server.port, metric_request()).status == 202
    assert server.stop() == 0
