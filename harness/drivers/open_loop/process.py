"""The process that sends."""

from __future__ import annotations

import sys

import msgspec

from harness.drivers.open_loop.worker import GeneratorConfig, Summary
from harness.machine.child_process import ChildProcess


class GeneratorProcess(ChildProcess):
    """The load generator, given its config."""

    def __init__(self, config: GeneratorConfig, name: str = "generator") -> None:
        fds = tuple(phase.fd for phase in (*config.warmup, *config.measured))
        command = [sys.executable, "-P", "-m", "harness.drivers.open_loop.worker"]
        super().__init__(name, command, pass_fds=fds)
        self.tell(msgspec.json.encode(config))

    def summary(self, line: bytes) -> Summary:
        """The `Summary` of a measured phase, read from a line of its output."""
        return msgspec.json.decode(line, type=Summary)
