"""Whether a second acceptor thread pays: `python -m benchmarks.acceptors [ROUNDS]`

Each thread model with one thread that accepts, and with two at the same socket, at its peak under
wrk (Debian package): the server on one CPU, wrk on another, in turns.
"""

from __future__ import annotations

import statistics
import sys
import threading
from typing import ClassVar

from benchmarks.common import print_table
from benchmarks.peak import measure
from harness.core.errors import LabError
from servers.acceptor import Acceptor
from servers.backend import Backend
from servers.thread_per_request import ThreadPerRequest
from servers.thread_pool import ThreadPoolBackend

# With one, and with two.
PAIRS = {
    "thread-pool": "benchmarks.acceptors:PoolOfTwo",
    "thread-per-request": "benchmarks.acceptors:PerRequestOfTwo",
}


class OfTwo(Backend):
    """A second thread accepts beside the first. For the benchmark only: the acceptor's counts are
    not made for two, and a queue may get one more than its bound."""

    def serve(self, acceptor: Acceptor) -> None:
        second = threading.Thread(target=acceptor.run, args=(self.dispatch,), daemon=True)
        second.start()
        super().serve(acceptor)
        second.join()


class PoolOfTwo(OfTwo, ThreadPoolBackend):
    """The pool with two acceptors."""

    name: ClassVar[str] = "pool-of-two"


class PerRequestOfTwo(OfTwo, ThreadPerRequest):
    """Thread per request with two acceptors."""

    name: ClassVar[str] = "per-request-of-two"


def main() -> int:
    """Print what each answers a second, and the ratios of two to one."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    try:
        rates = measure([name for pair in PAIRS.items() for name in pair], rounds)
    except LabError as error:
        print(f"benchmarks.acceptors: {error}", file=sys.stderr)
        return 2
    rows = []
    for one, two in PAIRS.items():
        ratios = [b / a for a, b in zip(rates[one], rates[two], strict=True)]
        rows.append([one, f"{statistics.median(rates[one]):,.0f}",
                     f"{statistics.median(rates[two]):,.0f}", f"{statistics.median(ratios):.2f}",
                     f"{min(ratios):.2f} to {max(ratios):.2f}"])  # fmt: skip
    print_table(f"Requests/s under wrk, 100 connections, {rounds} rounds",
                ["", "one", "two", "two / one", "rounds"], rows)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
