"""What a second process is worth: `python -m benchmarks.prefork`.

prefork with one process and with two, on two CPUs that the load shares without spinning, with
handlers that compute for 2 ms. Clients that send again as soon as they have an answer find the most
that each can answer a second; the two take turns. (An open loop on CPUs that are busy is late, so
`labrun capacity` would say so and not how much the server can do.) Exit status 1 below the mark, 2
where it could not be measured. `--listeners`: two processes that accept on one socket, against two
with one each.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import threading
import time

from benchmarks.common import print_table
from harness.core.errors import LabError
from harness.machine.cpus import cpu_list
from harness.targets.control_client import ControlClient, ControlLost
from harness.targets.processes import ServerProcess

MARK = 1.7
PROCESSES = {"one process": ["--processes=1"], "two processes": ["--processes=2"]}
LISTENERS = {
    "reuseport": ["--processes=2", "--listener=reuseport"],
    "inherited": ["--processes=2", "--listener=inherited"],
}
CLIENTS = 16
BODY = b'{"name":"cpu.load","value":0.42}'
REQUEST = b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
PATIENCE_S = 30.0


def send_on(port: int, stop: threading.Event) -> None:
    """One client: a request after the other. Raises OSError where the server is gone."""
    while not stop.is_set():
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
            sock.sendall(REQUEST)
            while sock.recv(4096):
                pass


def answered_per_s(options: list[str], workload: str, cpus: str, seconds: float) -> float:
    """How many requests a fresh server answers a second, by its own count. Raises `LabError`."""
    usual = [f"--workload={workload}", "--rate-limit=0", f"--cpus={cpus}"]
    stop = threading.Event()
    with ServerProcess(["prefork", *options, *usual]) as server:
        port, control_port = server.ready.port, server.ready.control_port
        clients = [
            threading.Thread(target=send_on, args=(port, stop), daemon=True) for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            with ControlClient("127.0.0.1", control_port) as control:
                time.sleep(seconds / 4)  # until all are at it
                before = control.report()
                time.sleep(seconds)
                after = control.report()
        except ControlLost as error:
            raise LabError(str(error)) from error
        finally:
            stop.set()
            for client in clients:
                client.join(PATIENCE_S)
    answered = after.counters.answered - before.counters.answered
    return answered / ((after.monotonic_ns - before.monotonic_ns) / 1e9)


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefork", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of both, in turns (default 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each (default 4)")
    parser.add_argument("--workload", default="cpu:2ms", help="of the handlers (default cpu:2ms)")
    parser.add_argument("--listeners", action="store_true", help="inherited against reuseport")
    asked = parser.parse_args()
    arms = LISTENERS if asked.listeners else PROCESSES
    two = frozenset(sorted(os.sched_getaffinity(0))[:2])
    found: dict[str, list[float]] = {name: [] for name in arms}
    try:
        if len(two) < 2:
            raise LabError("this machine gives one CPU, on which two processes are no faster")
        os.sched_setaffinity(0, two)
        for number in range(asked.rounds):
            for name in list(arms)[:: 1 if number % 2 else -1]:
                found[name].append(
                    answered_per_s(arms[name], asked.workload, cpu_list(two), asked.seconds)
                )
    except LabError as error:
        print(f"python -m benchmarks.prefork: {error}", file=sys.stderr)
        return 2
    ratios = [many / one for one, many in zip(*found.values(), strict=True)]
    rows = [
        [name, f"{statistics.median(each):,.0f}", f"{min(each):,.0f} to {max(each):,.0f}"]
        for name, each in found.items()
    ]
    print_table(f"{asked.workload}, {CLIENTS} clients, CPUs {cpu_list(two)} for all",
                ["", "answered a second", "rounds"], rows)  # fmt: skip
    ratio = statistics.median(ratios)
    mark = "" if asked.listeners else f"; mark: {MARK}"
    first, second = arms
    print(f"{second} / {first}: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}{mark})")
    return 0 if asked.listeners or ratio >= MARK else 1


if __name__ == "__main__":
    sys.exit(main())
