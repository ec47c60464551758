"""Servers by command, started, looked at and ended from outside: real trees of processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.core.errors import LabError
from harness.machine.outside.look import Look
from harness.machine.outside.observed import ObservedProcess, start_command
from harness.machine.outside.permissions import permissions

SUPPORT = Path(__file__).parents[3] / "support"
WAIT_S = 60.0
CPUS = frozenset({min(os.sched_getaffinity(0))})


class Fifo:
    """What the processes of a tree say; at its end when none of them is left."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._data = b""

    def _more(self) -> bool:
        assert select.select([self.fd], [], [], WAIT_S)[0], "nothing came"
        data = os.read(self.fd, 65536)
        self._data += data
        return bool(data)

    def line(self) -> list[str]:
        while b"\n" not in self._data:
            assert self._more(), "all have ended"
        line, _, self._data = self._data.partition(b"\n")
        return line.decode().split()

    def wait_for_end(self) -> None:
        while self._more():
            pass


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    found = Fifo(tmp_path / "fifo")
    yield found
    os.close(found.fd)


Start = Callable[..., ObservedProcess]


@pytest.fixture
def start(tmp_path: Path, fifo: Fifo) -> Iterator[Start]:
    """Start a tree of `tests/support/process_tree.py`."""
    with ExitStack() as servers:

        def begin(what: str, log_bytes: int = 1 << 20) -> ObservedProcess:
            argv = [sys.executable, str(SUPPORT / "process_tree.py"), str(fifo.path), what]
            return servers.enter_context(
                start_command(
                    argv, {**os.environ, "NAMED": "h\udce9re"}, tmp_path, tmp_path / "log", CPUS,
                    log_bytes=log_bytes,
                )
            )  # fmt: skip

        yield begin


def needs_perf() -> None:
    for found in permissions():
        if found.quantity == "threads born and ended" and not found.permitted:
            pytest.skip(f"{found.reason}; {found.remedy}")


def paranoid() -> int:
    return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())


def known(value: int | None) -> int:
    assert value is not None
    return value


def test_a_master_and_its_workers_are_seen_and_ended_as_one(start: Start, fifo: Fifo) -> None:
    server = start("prefork")
    for _ in range(4):
        fifo.line()
    look = server.look(memory=True)
    assert (look.processes, look.threads) == (4, 10)
    assert known(look.rss_bytes) > known(look.pss_bytes) > 0
    assert look.births in (6, None)
    assert look.processes_born in (3, None)
    assert server.alive()
    assert server.exit_status() is None
    ended = server.stop(0.0)
    fifo.wait_for_end()
    assert ended.left == 0
    assert not server.alive()


def test_a_killed_command_leaves_nothing(start: Start, fifo: Fifo) -> None:
    server = start("prefork")
    for _ in range(4):
        fifo.line()
    os.kill(server.pid, signal.SIGKILL)
    while server.exit_status() is None:
        pass
    assert server.look().processes == 3
    assert server.alive()
    assert str(server.died()) == "the server died (SIGKILL)"
    ended = server.stop(WAIT_S)
    fifo.wait_for_end()
    assert (ended.exit_status, ended.killed, ended.left) == (-signal.SIGKILL, 0, 0)


@pytest.mark.parametrize("rights", ["these", "no-capabilities"])
def test_threads_that_were_born_and_ended_are_counted_exactly(
    rights: str, tmp_path: Path, fifo: Fifo
) -> None:
    needs_perf()
    look, said = looked_at("births", rights, tmp_path, fifo)
    assert (look.births, look.ends, look.threads) == (200, 200, 1)
    assert (look.processes_born, look.processes_ended) == (0, 0)
    if rights == "no-capabilities" and paranoid() == 2:
        assert look.switches_by == "records"
    # A few came before counting began, at the child's first wait, and a few after what was said.
    assert abs(known(look.switches) - int(said[1])) <= 20


def test_where_perf_is_forbidden_all_else_is_seen_and_the_reason_told(
    tmp_path: Path, fifo: Fifo
) -> None:
    look, _ = looked_at("births", "no-perf", tmp_path, fifo)
    assert (look.processes, look.threads) == (1, 1)
    assert known(look.cpu_ns) > 0
    assert known(look.pss_bytes) > 0
    names = {"switches", "births", "ends", "processes_born", "processes_ended"}
    assert set(look.missing) == names
    for name in names:
        assert getattr(look, name) is None
        assert look.missing[name].reason.startswith("the kernel does not allow perf events")
        assert "CAP_PERFMON" in str(look.missing[name].remedy) or "sysctl" in str(
            look.missing[name].remedy
        )


def test_counting_can_begin_and_end_while_the_server_runs(start: Start, fifo: Fifo) -> None:
    needs_perf()
    server = start("parts")
    pid = int(fifo.line()[1])

    def part() -> None:
        os.kill(pid, signal.SIGUSR1)
        fifo.line()

    assert server.look().births == 3
    assert server.count_events(False) is None
    part()
    look = server.look()
    assert (look.births, look.switches, look.switches_by) == (None, None, None)
    assert "not being counted" in look.missing["births"].reason
    for counted in (103, 203):
        assert server.count_events(True) is None
        part()
        look = server.look()
        assert (look.births, look.threads) == (counted, 4)
        assert known(look.switches) >= counted
        assert server.count_events(False) is None
    assert (look.ends, look.processes_born, look.processes_ended) == (200, 2, 2)


LOOKED_AT = """
import os, sys
from pathlib import Path
import msgspec
from harness.machine.outside.observed import start_command
cpu, log, *argv = sys.argv[1:]
with start_command(argv, os.environ, None, Path(log), frozenset({int(cpu)})) as server:
    sys.stdin.readline()
    print(msgspec.json.encode(server.look(memory=True)).decode())
"""


def looked_at(what: str, rights: str, tmp_path: Path, fifo: Fifo) -> tuple[Look, list[str]]:
    """A tree as a lab with fewer rights sees it, and the first line that it said."""
    import msgspec

    tree = [sys.executable, str(SUPPORT / "process_tree.py"), str(fifo.path), what]
    lab = [sys.executable, "-c", LOOKED_AT, str(min(CPUS)), str(tmp_path / "log"), *tree]
    if rights != "these":
        lab = [sys.executable, str(SUPPORT / "less_allowed.py"), rights, *lab]
    with subprocess.Popen(lab, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        said = fifo.line()
        assert fifo.line()[0] == "done"
        out, _ = process.communicate(b"\n", WAIT_S)
    return msgspec.json.decode(out, type=Look), said


def test_records_that_were_lost_leave_the_counts_unknown(start: Start, fifo: Fifo) -> None:
    needs_perf()
    server = start("flood")
    fifo.line()
    (keeper,) = (int(pid) for pid in children(os.getpid()) if server.pid in children(pid))
    os.kill(keeper, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGUSR1)
    assert fifo.line()[0] == "done"
    os.kill(keeper, signal.SIGCONT)
    look = server.look()
    assert "were lost" in look.missing["births"].reason
    assert look.births is look.ends is None
    assert (look.switches is None) == (look.switches_by == "records")  # a counter loses none
    assert look.cpu_ns is not None


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_ended_processes_used_is_in_the_trees_cpu_time(start: Start, fifo: Fifo) -> None:
    server = start("burn")
    said = fifo.line()
    fifo.line()
    used_s = known(server.look().cpu_ns) / 1e9
    # What others' children used is known in ticks of a hundredth of a second, rounded twice.
    assert abs(used_s - float(said[1])) < 0.04
    assert used_s > 0.39
    assert server.stop(WAIT_S).cpu_ns / 1e9 > 0.39


def test_children_that_nobody_waits_for_leave_the_cpu_time_unknown(
    start: Start, fifo: Fifo
) -> None:
    server = start("unwaited")
    pid = int(fifo.line()[1])
    assert server.look().processes == 2
    os.kill(pid, signal.SIGUSR1)
    fifo.line()
    look = server.look()
    assert look.processes == 1
    assert look.cpu_ns is None
    assert "SIGCHLD" in look.missing["cpu_ns"].reason


def test_a_command_that_goes_on_in_the_background_is_still_ours(start: Start, fifo: Fifo) -> None:
    server = start("daemon")
    fifo.line()
    while server.exit_status() is None:
        pass
    assert server.exit_status() == 0
    assert server.alive()
    assert server.look().processes == 1
    assert server.stop(WAIT_S).killed == 0
    fifo.wait_for_end()


def test_who_ignores_sigterm_is_killed(start: Start, fifo: Fifo) -> None:
    server = start("stubborn")
    fifo.line(), fifo.line()
    ended = server.stop(0.05)
    fifo.wait_for_end()
    assert (ended.exit_status, ended.killed, ended.left) == (-signal.SIGKILL, 2, 0)
    assert server.exit_status() == -signal.SIGKILL
    assert server.stop(0.05) == ended


def test_who_ends_when_asked_is_not_killed(start: Start, fifo: Fifo) -> None:
    server = start("kind")
    fifo.line()
    ended = server.stop(WAIT_S)
    assert (ended.exit_status, ended.killed) == (0, 0)
    assert ended.cpu_ns > 0


def test_a_command_that_ends_at_once_says_its_status_and_last_line(
    start: Start, tmp_path: Path
) -> None:
    server = start("fails")
    assert not server.alive(WAIT_S)
    assert select.select([server], [], [], 0)[0]
    assert server.exit_status() == 3
    last = r"\x1b[31mcannot bind: no such \u202efolder"
    assert str(server.died()) == f"the server died (exit status 3): {last}"
    look = server.look(memory=True)
    assert (look.processes, look.threads, look.rss_bytes, look.peak_bytes) == (0, 0, 0, 0)
    assert known(look.cpu_ns) > 0
    assert "starting" in (tmp_path / "log").read_text()


def test_a_log_keeps_its_beginning_and_its_end(start: Start, fifo: Fifo, tmp_path: Path) -> None:
    server = start("chatters", log_bytes=1 << 20)
    fifo.line()
    server.stop(WAIT_S)
    assert server.last_line() == "the last line"
    log = (tmp_path / "log").read_text()
    assert len(log) <= 1 << 20
    assert log.startswith("the first line\n")
    assert "bytes left out here]" in log


def test_the_peak_is_that_of_a_window(start: Start, fifo: Fifo) -> None:
    for found in permissions():
        if found.quantity == "peak memory" and not found.permitted:
            pytest.skip(f"{found.reason}")
    server = start("swells")
    fifo.line()
    before = known(server.look(memory=True).peak_bytes)
    assert before > 64 << 20
    assert server.clear_peak() is None
    assert known(server.look(memory=True).peak_bytes) < 48 << 20


def test_it_has_a_session_and_nothing_of_the_labs(start: Start, fifo: Fifo, tmp_path: Path) -> None:
    start("tell")
    said = json.loads(" ".join(fifo.line()))
    descriptors = said.pop("descriptors")
    assert said == {
        "session": True, "input": "", "folder": str(tmp_path), "variable": "h\udce9re",
        "blocked": [],
    }  # fmt: skip
    assert len(descriptors) == 5  # three, the FIFO, and the folder that it looked into


LAB = """
import os, sys
from pathlib import Path
from harness.machine.outside.observed import start_command
with start_command(sys.argv[2:], os.environ, None, Path(sys.argv[1]), frozenset()) as server:
    sys.stdin.read()
"""


@pytest.mark.parametrize("what", ["prefork", "stubborn", "daemon"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_the_lab(
    what: str, how: signal.Signals, fifo: Fifo, tmp_path: Path
) -> None:
    tree = [sys.executable, str(SUPPORT / "process_tree.py"), str(fifo.path), what]
    lab = [sys.executable, "-c", LAB, str(tmp_path / "log"), *tree]
    with subprocess.Popen(lab, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        for _ in range({"prefork": 4, "stubborn": 2, "daemon": 1}[what]):
            fifo.line()
        process.send_signal(how)
        fifo.wait_for_end()
        process.wait(WAIT_S)


def test_a_keeper_that_is_ended_takes_all_with_it(start: Start, fifo: Fifo) -> None:
    server = start("stubborn")
    fifo.line(), fifo.line()
    (keeper,) = (pid for pid in children(os.getpid()) if server.pid in children(pid))
    os.kill(keeper, signal.SIGTERM)
    fifo.wait_for_end()
    assert not server.alive(WAIT_S)
    assert "keeper of the server" in str(server.died())


def test_what_cannot_be_started_is_said_in_a_sentence(tmp_path: Path) -> None:
    def said(*argv: str, cwd: Path | None = None, log: Path = tmp_path / "log") -> str:
        with pytest.raises(LabError) as refused:
            start_command(argv, os.environ, cwd, log, frozenset(), name="server gunicorn")
        return str(refused.value)

    assert said("no-such-program") == (
        "cannot start the server gunicorn: no-such-program: No such file or directory; is it "
        "installed, and on the PATH?"
    )
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert said(str(plain)) == f"cannot start the server gunicorn: {plain}: Permission denied"
    assert said("true", cwd=tmp_path / "nowhere") == (
        f"the server gunicorn cannot run in the folder {tmp_path}/nowhere: No such file or "
        "directory"
    )
    assert said("true", "a\0b").endswith(
        "true: Invalid argument; is it installed, and on the PATH?"
    )
    assert said("true", log=tmp_path / "nowhere" / "log").startswith(
        "what the server gunicorn prints cannot be kept in "
    )


def test_what_is_permitted_is_told_of_each_quantity() -> None:
    found = permissions()
    assert {one.quantity for one in found} >= {"CPU time", "context switches", "peak memory"}
    for one in found:
        assert one.permitted == (one.reason is None)
    assert found[0].permitted
