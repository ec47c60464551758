"""The generator where ports run out: `unshare -rn python few_ports.py`, which prints a JSON line.

In a network namespace of its own the range of ephemeral ports is narrowed to 20, so that nothing
else on the machine is touched. The server accepts nobody and closes nobody; all requests come from
one address, so the 21st connection at a time has no port to come from.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
from pathlib import Path
from time import monotonic_ns

from harness.drivers.driver import driver_of
from harness.drivers.open_loop.engine import Engine, Rules, Target
from harness.drivers.schedule import make_schedule, request_log_of
from harness.machine.kernel import deltas, read_kernel
from harness.measure.accounts import failure_causes
from harness.measure.build_trial import client_figures
from harness.measure.request_rows import copy_rows

PORTS = 20
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def bring_loopback_up() -> None:
    """A new namespace has a loopback interface that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        asked = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack_from("h", fcntl.ioctl(sock, _SIOCGIFFLAGS, asked), 16)[0]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def main() -> None:
    """Drive, and say what became of the requests."""
    bring_loopback_up()
    ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
    ports.write_text(f"40000 {40000 + PORTS - 1}\n", encoding="ascii")
    schedule = make_schedule(200, 0.5, 1, "constant", seed=1)
    log = request_log_of(schedule)
    before = read_kernel()
    with socket.create_server(("127.0.0.1", 8080), backlog=1024):
        target = Target("127.0.0.1", 8080, [b"GET / HTTP/1.1\r\n\r\n"], ["127.0.0.1"])
        rules = Rules(timeout_ns=5_000_000_000, max_in_flight=1000, own_cpu=False)
        Engine(log, target, rules, watch_fd=None).run(monotonic_ns())
    rows = copy_rows(log)
    client = client_figures(rows, 0.5, None)
    kind, why = driver_of("open-loop").classify(client, 100.0, None)
    said = {
        "unsent": client.unsent_causes,
        "timeout": client.outcomes.timeout,
        "scheduled": client.scheduled,
        "class": kind,
        "why": why,
        "causes": failure_causes(rows, client, deltas(before, read_kernel(), None)),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
