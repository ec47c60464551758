"""`python -m benchmarks.peer_faults`: the same faults against the peers and against our servers.

Each server runs with 4 threads in a process of its own. What is asked of it is what
`docs/servers.md` puts side by side. Takes about two minutes.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

THREADS = 4
WATCHED_S = 12.0  # how long a slow client is followed; ours is cut off after 5 s
GOOD = b"POST /metrics HTTP/1.1\r\nHost: peer\r\nConnection: close\r\nContent-Length: 24\r\n\r\n"
GOOD += b'{"name":"a.b","value":1}'

_APP = """
import sys, time
def app(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
    start_response("202 Accepted", [("Content-Length", "2")])
    return [b"{}"]
"""
_RUN = {
    "waitress": "import waitress; waitress.serve(app, host='127.0.0.1', port=int(sys.argv[1]), "
    f"threads={THREADS})",
    "cheroot": "import cheroot.wsgi as w; s = w.Server(('127.0.0.1', int(sys.argv[1])), app, "
    f"numthreads={THREADS}); s.safe_start()",
    "gunicorn gthread": "import gunicorn.app.base as b\n"
    "class A(b.BaseApplication):\n"
    " def load_config(self):\n"
    "  for k, v in dict(bind='127.0.0.1:' + sys.argv[1], worker_class='gthread', "
    f"threads={THREADS}).items(): self.cfg.set(k, v)\n"
    " def load(self): return app\n"
    "A().run()",
}
OURS = ("thread-per-request", "thread-pool")


@dataclass
class Running:
    """A server under test; `worker` is the process that accepts."""

    process: subprocess.Popen[bytes]
    port: int
    worker: int
    log: Path

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, timeout_s: float = 20.0) -> float | None:
        """Seconds until a good request was answered 202, or None."""
        began_s = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout_s) as sock:
                sock.sendall(GOOD)
                answered = b" 202 " in sock.recv(100)
        except OSError:
            return None
        return time.monotonic() - began_s if answered else None


@contextmanager
def serving(name: str, work_s: float) -> Iterator[Running]:
    """Start `name`, whose handlers take `work_s`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if name in OURS:
        command = ["-m", "servers", name, f"--port={port}", f"--workers={THREADS}"]
        command += [f"--workload=io:{work_s * 1e3:g}ms"] if work_s else []
    else:
        command = ["-c", f"import sys\n{_APP}\n{_RUN[name]}", str(port), str(work_s)]
    log = Path(tempfile.mkstemp()[1])
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=out, stderr=out, start_new_session=True
        )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        time.sleep(1.0)  # gunicorn's worker starts after its listener
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Running(process, port, int(children[0]) if children else process.pid, log)
    finally:
        # Its children too: gunicorn's worker may outlive a master that has been told to stop.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.unlink()


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
        lines = server.log.read_bytes().count(b"\n")
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
            lines = server.log.read_bytes().count(b"\n") - lines
        back = server.ask(8.0) is not None
    return f"CPU {share:.0%}, {lines:,} lines of log; {'serves' if back else 'dead'} afterwards"


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
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join()
        try:
            status = str(server.process.wait(15))
        except subprocess.TimeoutExpired:
            status = "none within 15 s"
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
        for name in (*_RUN, *OURS):
            module = name.split(" ", maxsplit=1)[0]
            if name not in OURS and importlib.util.find_spec(module) is None:
                print(f"  {name:20} not installed")
                continue
            print(f"  {name:20} {ask(name)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
