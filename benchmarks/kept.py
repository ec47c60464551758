"""What earlier sessions measured: a line of JSON for each run, added to and never rewritten.

A run counts as done where machine, case and settings (the seed among them) are the same, so that a
benchmark of hours can be made in steps, on a quiet machine now and then.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.record import Comparison, Run, Settings
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment
from harness.studies.compare.aa_control import ControlRun, Machine, control_run


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `comparisons`: of the headlines; `truth`: the ratios that were put in, by metric;
    `busy`: what `labrun doctor` said of the load beside it, None where it was quiet."""

    case: str
    machine: Machine
    settings: Settings
    created: str
    load_average: float
    busy: str | None
    trials: int
    invalid: int
    comparisons: list[Comparison]
    truth: dict[str, float] = {}


class Kept:
    """The file, and how many more runs this session may make (None: all that are wanted)."""

    def __init__(self, file: Path, step: int | None) -> None:
        self._file = file
        self._left = step
        self._machine = Machine.of(read_environment(plan_cpus()))
        self._lines = _read(file)

    def find(self, case: str, settings: Settings) -> Line | None:
        """The run that was made of that case on this machine at these settings."""
        wanted = (case, self._machine, settings)
        found = [each for each in self._lines if (each.case, each.machine, each.settings) == wanted]
        return found[-1] if found else None

    def may_go_on(self) -> bool:
        """Whether there is another run in this step; it is then taken."""
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0

    def add(self, case: str, run: Run, truth: dict[str, float]) -> Line:
        """Keep a run. Raises `LabError` when it cannot be written."""
        loads = [f for f in run.environment.findings if f.check == "load" and f.level != "good"]
        busy = loads[0].found if loads else None
        return self.add_control(case, run.settings, control_run(run), busy, truth)

    def add_control(
        self,
        case: str,
        settings: Settings,
        told: ControlRun,
        busy: str | None = None,
        truth: dict[str, float] | None = None,
    ) -> Line:
        """Keep what is kept of an A/A run. Raises `LabError` when it cannot be written."""
        line = Line(
            case=case, machine=self._machine, settings=settings, created=told.created,
            load_average=told.load_average, busy=busy, trials=told.trials, invalid=told.invalid,
            comparisons=told.comparisons, truth=truth or {},
        )  # fmt: skip
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise LabError(f"{self._file} cannot be written: {error.strerror}") from error
        self._lines.append(line)
        return line


def _read(file: Path) -> list[Line]:
    if not file.exists():
        return []
    lines = []
    for number, text in enumerate(file.read_bytes().splitlines(), 1):
        try:
            lines.append(msgspec.json.decode(text, type=Line))
        except msgspec.MsgspecError as error:
            raise LabError(
                f"{file}, line {number}, cannot be read ({error}); take the line out"
            ) from error
    return lines
