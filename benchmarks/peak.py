"""Peak throughput against peers, side by side: `python -m benchmarks.peak [ROUNDS]`

wrk (Debian package), one thread, 100 connections, closed loop, `Connection: close`; the server on
the first CPU, wrk on the last. Servers take turns within a round, and ratios are of the same
round. Our pool also runs without stamps and counters, which tells what those cost. The servers in
C++ stand beside a loop around accept() without threads and a minimal pool, neither of which reads
what it is sent (`benchmarks/native`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common import met, print_table
from harness.core.errors import LabError
from harness.drivers.payloads import BODY
from harness.machine.cpus import CpuPlan
from harness.session.settings import CompareOptions, make_settings
from harness.targets.arm import arms_of
from harness.targets.outside import start_outside
from servers.native.build import CannotBuild, built, compiled

SECONDS = 3
_SCRIPT = f"""wrk.method = "POST"
wrk.body = [[{BODY}]]
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Connection"] = "close"
"""
OURS = ("thread-pool", "thread-per-request", "event-loop", "benchmarks.bare:BarePool")
NATIVE = ("native-thread-pool", "native-thread-per-request")
# In C++, without parsing, validating or counting: what threads and sockets take alone.
BARE = {"C++ accept loop": "accept_loop.cpp", "C++ minimal pool": "bare_pool.cpp"}
PEERS = ("waitress", "http.server")
# name, of, to, mark, whether the ratio is to be at most the mark
MARKS = (
    ("thread-pool / waitress", "thread-pool", "waitress", 2.5, False),
    ("thread-per-request / http.server", "thread-per-request", "http.server", 2.0, False),
    ("thread-pool bare / with telemetry", "benchmarks.bare:BarePool", "thread-pool", 1.05, True),
    ("native-thread-pool / C++ minimal pool", "native-thread-pool", "C++ minimal pool", 0.9, False),
    ("native-thread-pool / thread-pool", "native-thread-pool", "thread-pool", 0.9, False),
)


@contextmanager
def running(name: str, cpu: int) -> Iterator[int]:
    """A server of ours or a peer on one CPU; its port."""
    if name in PEERS:
        with running_peer(name, cpu) as port:
            yield port
        return
    command = [sys.executable, "-m", "servers", name, "--port=0", "--rate-limit=0", f"--cpus={cpu}"]
    if name in BARE:
        command = ["taskset", "-c", str(cpu), str(program(name))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert server.stdout is not None
        yield int(json.loads(server.stdout.readline())["port"])
    finally:
        server.kill()
        server.communicate()


@contextmanager
def running_peer(name: str, cpu: int) -> Iterator[int]:
    """A peer on one CPU, by the command that `labrun compare --server NAME` starts; its port."""
    settings = make_settings(CompareOptions(backends="", server=[name]))
    alone = frozenset({cpu})
    with (
        tempfile.TemporaryDirectory() as logs,
        start_outside(
            arms_of(settings)[0], settings, CpuPlan(alone, alone, alone), Path(logs)
        ) as server,
    ):
        yield server.port


def program(name: str) -> Path:
    """The program of one of `BARE`. Raises `CannotBuild`."""
    source = Path(__file__).with_name("native") / BARE[name]
    return compiled(source.stem.replace("_", "-"), source)


def requests_per_s(port: int, script: str, cpu: int) -> float:
    """What wrk reports."""
    url = f"http://127.0.0.1:{port}/metrics"
    done = subprocess.run(
        ["taskset", "-c", str(cpu), "wrk", "-t1", "-c100", f"-d{SECONDS}s", "-s", script, url],
        capture_output=True,
        text=True,
        timeout=SECONDS + 30,
        check=True,
    )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"not every answer was 202:\n{done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk said:\n{done.stdout}")
    return float(found[1])


def measure(names: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Requests a second of each server, round by round; the order is reversed every other. Raises
    `LabError` without wrk."""
    if shutil.which("wrk") is None:
        raise LabError("wrk is not installed (Debian package wrk)")
    cpus = sorted(os.sched_getaffinity(0))
    rates: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        for number in range(rounds):
            for name in list(names)[:: -1 if number % 2 else 1]:
                with running(name, cpus[0]) as port:
                    rates[name].append(requests_per_s(port, script.name, cpus[-1]))
    return rates


def main() -> int:
    """Print rates, and ratios beside their marks."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    try:
        for name in NATIVE:
            built(name)
        for name in BARE:
            program(name)
        rates = measure([*OURS, *NATIVE, *BARE, *PEERS], rounds)
    except (CannotBuild, LabError) as error:
        print(f"benchmarks.peak: {error}", file=sys.stderr)
        return 2
    print_table(
        f"Requests/s under wrk, closed loop, 100 connections, {rounds} rounds of {SECONDS} s",
        ("server", "median", "lowest", "highest"),
        [
            [name, f"{statistics.median(r):,.0f}", f"{min(r):,.0f}", f"{max(r):,.0f}"]
            for name, r in rates.items()
        ],
    )
    rows = []
    for name, top, bottom, mark, at_most in MARKS:
        ratios = [a / b for a, b in zip(rates[top], rates[bottom], strict=True)]
        ratio = statistics.median(ratios)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([name, f"{ratio:.2f}", spread, f"{mark:g}", met(ratio, mark, at_most)])
    print_table("Within-round ratios", ("ratio", "median", "rounds", "mark", ""), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
