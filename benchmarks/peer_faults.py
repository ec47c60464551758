"""`python -m benchmarks.peer_faults`: the same faults against the peers and against our servers.

Each server runs with 4 threads in a process of its own. What is asked of it is what
`docs/servers.md` puts side by side. Takes about two minutes.
"""

from __future__ import annotations

import os
import resource
import shlex
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.machine.cpus import CpuPlan
from harness.peers import command_of, is_installed
from harness.session.settings import CompareOptions, make_settings
from harness.targets.arm import arms_of
from harness.targets.outside import StartedServer, start_outside

THREADS = 4
WATCHED_S = 12.0  # how long a slow client is followed; ours is cut off after 5 s
GOOD = b"POST /metrics HTTP/1.1\r\nHost: peer\r\nConnection: close\r\nContent-Length: 24\r\n\r\n"
GOOD += b'{"name":"a.b","value":1}'

PEERS = ("waitress", "cheroot", "gunicorn")
OURS = ("thread-per-request", "thread-pool")


@dataclass
class Running:
    """A server under test; `worker` is the process that accepts."""

    server: StartedServer
    worker: int

    @property
    def port(self) -> int:
        return self.server.port

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lines_of_log(self) -> int:
        return self.server.log.read_bytes().count(b"\n")

    def log_is_cut(self) -> bool:
        """Whether the middle of its log was left out, since it took too much of the disk."""
        kept = self.server.log.stat()
        return kept.st_blocks * 512 < kept.st_size

    def ask(self, timeout_s: float = 20.0) -> float | None:
        """Seconds until a good request was answered 202, or None."""
        return asked(self.port, timeout_s)


def asked(port: int, timeout_s: float) -> float | None:
    """Seconds until a good request was answered 202, or None."""
    began_s = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as sock:
            sock.sendall(GOOD)
            answered = b" 202 " in sock.recv(100)
    except OSError:
        return None
    return time.monotonic() - began_s if answered else None


@contextmanager
def serving(name: str, work_s: float) -> Iterator[Running]:
    """Start `name`, whose handlers take `work_s`, as `labrun compare --server` would."""
    everywhere = frozenset(os.sched_getaffinity(0))
    settings = make_settings(options(name, work_s))
    with (
        tempfile.TemporaryDirectory() as logs,
        start_outside(
            arms_of(settings)[0], settings, CpuPlan(everywhere, everywhere, everywhere), Path(logs)
        ) as server,
    ):
        assert isinstance(server, StartedServer)
        asked(server.port, 20.0)  # gunicorn's worker starts after its listener
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        yield Running(server, int(children[0]) if children else server.pid)


def options(name: str, work_s: float) -> CompareOptions:
    """A server of ours by its name, or a peer by its command, with an application that waits."""
    workers = {"workers": THREADS}
    if name in OURS:
        workload = f"io:{work_s * 1e3:g}ms" if work_s else "ingest"
        return CompareOptions(backends=name, servers=workers | {"workload": workload})
    command = [*command_of(name)[:-1], "benchmarks.slow_app:wsgi"]
    return CompareOptions(
        backends="",
        server=[f"{name}={shlex.join(command)}"],
        env=[f"WORK_S={work_s:g}", f"PYTHONPATH={Path(__file__).parents[1]}"],
        servers=workers,
    )


def slow_client(name: str) -> str:
    """A byte a second: how long is it let, and how long does it keep a good client waiting?"""
    with serving(name, 0) as server, ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(THREADS)
        ]
        waited: list[float | None] = []
        asking = threading.Thread(target=lambda: waited.append(server.ask(WATCHED_S)))
        cut_s = None
        for second in range(int(WATCHED_S)):
            for sock in slow:
                try:
                    sock.send(GOOD[second : second + 1])
                    sock.setblocking(False)
                    if sock.recv(1) is not None:
                        cut_s = cut_s or second
                except BlockingIOError:
                    pass
                except OSError:
                    cut_s = cut_s or second
            if second == 1:
                asking.start()
            time.sleep(1.0)
        asking.join()
    held = f"cut off after {cut_s} s" if cut_s else f"still held after {WATCHED_S:g} s"
    good = f"{waited[0]:.1f} s" if waited[0] is not None else f"over {WATCHED_S:g} s"
    return f"{held}; good client waits {good}"


def no_descriptors(name: str) -> str:
    """RLIMIT_NOFILE reached for 2 s: CPU, lines of log, and whether service comes back."""
    with serving(name, 0) as server:
        server.ask()
        used = len(os.listdir(f"/proc/{server.worker}/fd"))
        hard = resource.prlimit(server.worker, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(server.worker, resource.RLIMIT_NOFILE, (used + 5, hard))
        lines = server.lines_of_log()
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            time.sleep(0.2)
            cpu_s, began_s = server.cpu_s(), time.monotonic()
            time.sleep(2.0)
            try:
                share = (server.cpu_s() - cpu_s) / (time.monotonic() - began_s)
            except FileNotFoundError:
                return "the process that accepts died"
            lines = server.lines_of_log() - lines
            least = "at least " if server.log_is_cut() else ""
        back = server.ask(8.0) is not None
    return (
        f"CPU {share:.0%}, {least}{lines:,} lines of log; {'serves' if back else 'dead'} afterwards"
    )


def stopping(name: str) -> str:
    """SIGTERM with 4 requests in handlers and 4 more waiting: how many get their answer?"""
    with serving(name, 1.0) as server:
        answers: list[float | None] = []
        clients = [
            threading.Thread(target=lambda: answers.append(server.ask()))
            for _ in range(2 * THREADS)
        ]
        for client in clients:
            client.start()
        time.sleep(0.5)
        os.kill(server.server.pid, signal.SIGTERM)
        for client in clients:
            client.join()
        ended = not server.server.alive(15.0)
        status = str(server.server.exit_status()) if ended else "none within 15 s"
    answered = sum(answer is not None for answer in answers)
    return f"{answered} of {2 * THREADS} answered, exit status {status}"


QUESTIONS: dict[str, Callable[[str], str]] = {
    "a byte a second": slow_client,
    "no descriptors": no_descriptors,
    "SIGTERM": stopping,
}


def main() -> int:
    """Print what each server does."""
    for question, ask in QUESTIONS.items():
        print(f"{question}: {(ask.__doc__ or '').partition(': ')[2]}")
        for name in (*PEERS, *OURS):
            if name not in OURS and not is_installed(name):
                print(f"  {name:20} not installed")
                continue
            print(f"  {name:20} {ask(name)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
