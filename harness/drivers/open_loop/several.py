"""Several processes that send as one, each for its own clients."""

from __future__ import annotations

import select
from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic, monotonic_ns

import msgspec

from harness.core.closing import Closing
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.open_loop.worker import GeneratorConfig, ProcessCost, Summary, summed
from harness.machine.child_process import ProcessDied

_LEAD_NS = 30_000_000  # between the word and the common start: for all to have heard it


class Generators(Closing):
    """Speaks to each what one would be told, and says what all have said. Each is named by its
    number, from 1."""

    def __init__(self, configs: Sequence[GeneratorConfig]) -> None:
        self.name = "generators"
        self._said: dict[int, bytes] = {}  # by place, since all were last told something
        with ExitStack() as stack:
            self._each = [
                stack.enter_context(
                    GeneratorProcess(config, f"generator {number} of {len(configs)}")
                )
                for number, config in enumerate(configs, 1)
            ]
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End all."""
        self._stack.close()

    def tell(self, line: bytes) -> None:
        """The word for a phase, with a start that all have in common. Raises `ProcessDied`."""
        start_ns = monotonic_ns() + _LEAD_NS
        for process in self._each:
            process.tell(b"%b %d" % (line, start_ns))

    def must_say(self, timeout_s: float) -> bytes:
        """The next line of each, as a JSON list. Raises `ProcessDied` when one does not come in
        time."""
        line = self.wait_for_line(timeout_s)
        if line is None:
            silent = next(p for place, p in enumerate(self._each) if place not in self._said)
            raise ProcessDied(
                f"the {silent.name} did not answer within {timeout_s:g} s", silent.name
            )
        return line

    def wait_for_line(self, timeout_s: float) -> bytes | None:
        """The next line of each, as a JSON list, or None when one has none within `timeout_s`.
        Raises `ProcessDied` as soon as one of them is gone."""
        until_s = monotonic() + timeout_s
        while True:
            for place, process in enumerate(self._each):
                if place not in self._said and (line := process.wait_for_line(0.0)) is not None:
                    self._said[place] = line
            waiting = [p.output for place, p in enumerate(self._each) if place not in self._said]
            if not waiting:
                break
            if not select.select(waiting, [], [], max(0.0, until_s - monotonic()))[0]:
                return None
        lines = [self._said[place] for place in range(len(self._each))]
        self._said = {}
        return b"[%b]" % b",".join(lines)

    def summary(self, line: bytes) -> Summary:
        """The `Summary` of all over a measured phase, read from what they said."""
        return joined_summary(msgspec.json.decode(line, type=list[Summary]))


def joined_summary(parts: Sequence[Summary]) -> Summary:
    """Of one phase, from each process: sums, and what each took."""
    return summed(
        parts, [ProcessCost(part.window_ns, part.cpu_ns, part.start_late_ns) for part in parts]
    )
