"""The process of the open-loop generator."""

from __future__ import annotations

import sys

import msgspec

from harness.drivers.open_loop.worker import Order, Summary
from harness.machine.child_process import ChildProcess


class GeneratorProcess(ChildProcess):
    """The load generator, given its order."""

    def __init__(self, order: Order) -> None:
        fds = tuple(fd for fd in (order.warmup_fd, order.measured_fd) if fd is not None)
        command = [sys.executable, "-P", "-m", "harness.drivers.open_loop.worker"]
        super().__init__("generator", command, pass_fds=fds)
        self.tell(msgspec.json.encode(order))

    def summary(self, line: bytes) -> Summary:
        """Its last line."""
        return msgspec.json.decode(line, type=Summary)
