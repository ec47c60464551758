"""What the tests of the servers share: a real server in a real process, and plain clients of it."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from servers.access import CONTROL_HEADER
from servers.native.build import COMPILERS
from servers.report import Counters, Report, Sample

IN_PYTHON = ("thread-per-request", "thread-pool", "event-loop", "prefork")
NATIVE = ("native-thread-per-request", "native-thread-pool")
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, [os.environ["CXX"]] if os.environ.get("CXX") else COMPILERS)),
    reason="there is no C++ compiler here (apt install g++)",
)
BACKENDS = (*IN_PYTHON, *(pytest.param(name, marks=needs_compiler) for name in NATIVE))
PLUGINS = Path(__file__).parent.parent / "servers" / "plugins"
PATIENCE_S = 45.0  # how long a test waits for what must happen, on a busy machine
_LIBC = ctypes.CDLL(None, use_errno=True)
_STOPPED = re.compile(
    r"^stopped: accepted (\d+) = answered (\d+) \+ timed out (\d+) \+ reset (\d+)"
    r" \+ abandoned (\d+)$",
    re.MULTILINE,
)


class RunningServer:
    """`python -m servers BACKEND --port 0 ...`, ready for connections.

    `env` is added to the environment; `limits` maps RLIMIT_* to soft limits, set once it is
    ready; `token` is shown to the control port.
    """

    def __init__(
        self,
        backend: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        limits: dict[int, int] | None = None,
        token: str | None = None,
    ) -> None:
        self._headers = {CONTROL_HEADER: "1"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._log = tempfile.TemporaryFile()
        path = [str(PLUGINS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)} | (env or {})
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "servers", backend, "--port=0", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the server did not start: {self.log()}"
        self.ready = json.loads(line)
        self.pid: int = self.ready["pid"]
        self.port: int = self.ready["port"]
        self.control_port: int = self.ready["control_port"]
        for kind, limit in (limits or {}).items():
            self.limit(kind, limit)
        # Opened at once, so that it is there when the server has run out of descriptors.
        self._control = http.client.HTTPConnection(
            "127.0.0.1", self.control_port, timeout=PATIENCE_S
        )
        self.report()

    def serving(self) -> list[int]:
        """The processes that accept: itself, or those that it is the master of."""
        return children(self.pid) or [self.pid]

    def limit(self, kind: int, soft: int) -> None:
        """Change a soft limit of the processes that serve."""
        for pid in self.serving():
            limit_process(pid, kind, soft)

    def leave_descriptors(self, spare: int) -> None:
        """Let each process that serves have so many more than it has."""
        for pid in self.serving():
            limit_process(pid, resource.RLIMIT_NOFILE, descriptors_of(pid) + spare)

    def ask(self, path: str, method: str = "GET") -> bytes:
        """The body of an answer of the control port, which must be 200."""
        self._control.request(method, path, headers=self._headers)
        response = self._control.getresponse()
        body = response.read()
        assert response.status == 200, body
        return body

    def report(self) -> Report:
        return msgspec.json.decode(self.ask("/report"), type=Report)

    def sample(self) -> Sample:
        """The light report, which costs a busy server next to nothing."""
        return msgspec.json.decode(self.ask("/sample"), type=Sample)

    def metrics(self) -> dict[str, float]:
        """The Prometheus endpoint, parsed strictly: sample with labels -> value."""
        return parse_prometheus(self.ask("/metrics").decode("ascii"))

    def until(self, holds: Callable[[Report], bool], timeout_s: float = PATIENCE_S) -> Report:
        """The first report of which `holds` is true."""
        end_s = time.monotonic() + timeout_s
        while not holds(report := self.report()):
            assert time.monotonic() < end_s, f"it did not happen: {report}"
            time.sleep(0.01)  # the report is the only sign of what a server does inside
        return report

    def reconciled(self) -> Counters:
        """The counters once nothing is in progress, the same in both of their forms."""
        counters = self.until(lambda report: report.counters.in_progress == 0).counters
        ended = counters.answered + counters.timed_out + counters.reset + counters.abandoned
        assert counters.accepted == ended, counters
        assert counters.answered == sum(counters.answered_by_status.values())
        metrics = self.metrics()
        for name in ("accepted", "timed_out", "reset", "abandoned", "deadlines_missed",
                     "handler_errors", "accept_errors", "descriptor_episodes"):  # fmt: skip
            assert metrics[f"metricstream_{name}_total"] == getattr(counters, name), name
        for status, count in counters.answered_by_status.items():
            assert metrics[f'metricstream_answered_total{{status="{status}"}}'] == count
        for cause in ("queue_full", "no_thread", "rate"):
            rejected = metrics[f'metricstream_rejected_total{{cause="{cause}"}}']
            assert rejected == getattr(counters, f"rejected_{cause}")
        assert metrics["metricstream_in_progress"] == 0
        return counters

    def descriptors(self) -> int:
        """Of all processes that serve."""
        return sum(map(descriptors_of, self.serving()))

    def cpu_s(self) -> float:
        """CPU time of the processes that serve so far."""
        return sum(map(cpu_s_of, self.serving()))

    def log(self) -> str:
        """What it has written to standard error. Read without a move in the file: its place there
        is the server's as well, which would write over its first lines."""
        descriptor = self._log.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()

    @contextmanager
    def asked(self, requests: int = 1) -> Iterator[list[socket.socket]]:
        """Clients that have sent a good request each, whole before the server accepted any of them:
        it stands still meanwhile, so that no deadline runs while a client takes its time."""
        with ExitStack() as stack:
            self.stand_still()
            try:
                clients = [stack.enter_context(connect(self.port)) for _ in range(requests)]
                for sock in clients:
                    sock.sendall(metric_request())
            finally:
                self.go_on()
            yield clients

    def stand_still(self) -> None:
        """All of its processes, until `go_on`."""
        os.killpg(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)
        for pid in self.serving():
            until_stopped(pid)

    def go_on(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def last_account(self) -> tuple[int, int, int, int, int]:
        """accepted, answered, timed out, reset and abandoned of the last line of the log."""
        found = _STOPPED.search(self.log())
        assert found is not None, self.log()
        accepted, answered, timed_out, reset, abandoned = map(int, found.groups())
        return accepted, answered, timed_out, reset, abandoned

    def close(self) -> None:
        """End it, whatever state it is in."""
        self._control.close()
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


StartServer = Callable[..., RunningServer]


def children(pid: int) -> list[int]:
    """The processes that a process has started and not seen the end of."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def limit_process(pid: int, kind: int, soft: int) -> None:
    _, hard = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (soft, hard))


def descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def signal_second_thread(pid: int, number: int) -> None:
    """A signal to the thread that a process began first after its main one: a server's housekeeper,
    or what passes a supervisor's signals on. Of a process that has one thread, to that."""
    threads = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    if _LIBC.tgkill(pid, threads[:2][-1], number) != 0:
        raise OSError(ctypes.get_errno(), "tgkill")


def until_stopped(pid: int) -> None:
    """After a SIGSTOP to a process that is no child of ours, and so cannot be waited for."""
    end_s = time.monotonic() + PATIENCE_S
    while state_of(pid) != "T":
        assert time.monotonic() < end_s, f"process {pid} does not stand still"
        time.sleep(0.001)


def pending_signals(pid: int) -> set[int]:
    """What was sent to a process as a whole and has not been taken yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def state_of(pid: int) -> str:
    return stat_of(pid)[0]


def cpu_s_of(pid: int) -> float:
    """CPU time of a process so far."""
    user, system = stat_of(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Gate:
    """A request of a `faulty:` server ends once this has been opened, and not before: work that
    takes as long as a test needs, however slow the machine is. `env` is for `start_server`.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gate"
        os.mkfifo(self._path)
        self._opened: int | None = None
        self.env = {"GATE": str(self._path)}

    def open(self) -> None:
        """Let through whoever waits, and whoever comes."""
        self._opened = os.open(self._path, os.O_RDWR)

    def close(self) -> None:
        """Give back what `open` took."""
        if self._opened is not None:
            os.close(self._opened)


@contextmanager
def servers() -> Iterator[StartServer]:
    """Start servers that end with this block."""
    started: list[RunningServer] = []

    def start(
        backend: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        limits: dict[int, int] | None = None,
        token: str | None = None,
    ) -> RunningServer:
        started.append(RunningServer(backend, *arguments, env=env, limits=limits, token=token))
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_answer(raw: bytes) -> Answer:
    """The one whole response in `raw`."""
    head, separator, body = raw.partition(b"\r\n\r\n")
    assert separator, f"cut short: {raw!r}"
    status_line, *lines = head.decode("ascii").split("\r\n")
    found = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z ]+", status_line)
    assert found is not None, status_line
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert int(headers["content-length"]) == len(body), raw
    return Answer(int(found[1]), headers, body)


def metric_request(client: str = "test", body: bytes = b'{"name":"a.b","value":1}') -> bytes:
    """A good request."""
    return (
        f"POST /metrics HTTP/1.1\r\nHost: test\r\nX-Client-Id: {client}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def connect(port: int, timeout_s: float = PATIENCE_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def read_answer(sock: socket.socket) -> Answer:
    """Everything until the server closes, as one response."""
    raw = b""
    while data := sock.recv(65536):
        raw += data
    return parse_answer(raw)


def exchange(port: int, data: bytes) -> Answer:
    """Connect, send `data`, read to the end."""
    with connect(port) as sock:
        sock.sendall(data)
        return read_answer(sock)


_SAMPLE = re.compile(r'([a-z_]+)(\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})? (-?[0-9.e+-]+)')


def parse_prometheus(text: str) -> dict[str, float]:
    """Prometheus text format 0.0.4, strictly: HELP and TYPE once and first, no sample twice."""
    assert text.endswith("\n")
    samples: dict[str, float] = {}
    kinds: dict[str, str] = {}
    family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in kinds, f"{family} comes twice"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            assert kind in ("counter", "gauge")
            assert name.endswith("_total") == (kind == "counter")
            kinds[name] = kind
        else:
            found = _SAMPLE.fullmatch(line)
            assert found is not None, line
            assert found[1] == family, f"{line!r} is not under its family"
            assert family in kinds
            name = found[1] + (found[2] or "")
            assert name not in samples, f"{name} comes twice"
            samples[name] = float(found[3])
    return samples
