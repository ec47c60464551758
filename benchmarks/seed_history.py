"""Real runs of this repository's own commits, for `labrun history` and the baseline.

    python -m benchmarks.seed_history                 # the last 10 commits, twice each
    python -m benchmarks.seed_history --last 2 --times 1
    python -m benchmarks.seed_history cdd061b dc1ebde # these

The servers are those of each commit; generator, sampler and analysis are this lab's, so that only
the servers differ. Commits come in turns (all once, then all again), so that a bad minute of the
machine does not fall on one commit alone. Only `run.json` is kept: it is all that a history reads.
A commit whose server this lab cannot drive is said and left out. The last commit's first run
becomes the baseline. A commit takes about 35 s each time: 2 backends, 5 rounds of 3.2 s.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.common import lab_settings
from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.measure.run import run_experiment
from harness.store import RunFolder, write_whole
from harness.studies.regress.against import SourcePlanner, source_of_ref
from harness.targets.git_ref import git, repository_root
from harness.terminal.live import make_watcher


def main() -> int:
    """Measure; 0 when every commit was measured or honestly left out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("refs", nargs="*", help="commits, oldest first (default: the last ones)")
    parser.add_argument("--last", type=int, default=10, help="how many commits (default 10)")
    parser.add_argument("--times", type=int, default=2, help="runs of each commit (default 2)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=1.5)
    parser.add_argument("--rps", default="2000")
    parser.add_argument("--out", type=Path, default=Path("results/history"))
    parser.add_argument("--baseline", type=Path, default=None, help="keep the last run here, too")
    asked = parser.parse_args()
    try:
        return seed(asked)
    except LabError as error:
        print(f"seed_history: {error}", file=sys.stderr)
        return 2


def seed(asked: argparse.Namespace) -> int:
    """All commits in turns."""
    root = repository_root()
    refs = asked.refs or git(root, "log", "--format=%h", "--reverse", f"-{asked.last}").split()
    settings = lab_settings(
        rps=asked.rps, rounds=asked.rounds, duration_s=asked.duration, warmup_s=0.5
    )
    newest = None
    for number in range(1, asked.times + 1):
        for ref in list(refs):
            try:
                newest = measure(ref, root, settings, asked.out, number)
            except LabError as error:
                print(f"seed_history: {ref} is left out: {error}", file=sys.stderr)
                refs.remove(ref)
    if newest is None:
        raise LabError("no commit could be measured")
    if asked.baseline is not None:
        asked.baseline.mkdir(parents=True, exist_ok=True)
        keep(newest, asked.baseline)
    return 0


def measure(ref: str, root: Path, settings: Settings, out: Path, number: int) -> Run:
    """One run of one commit; its record is kept below `out`. Raises `LabError`."""
    from rich.console import Console

    with tempfile.TemporaryDirectory(prefix="seed-") as scratch, source_of_ref(ref, root) as source:
        folder = RunFolder.create(Path(scratch), f"{ref}-{number}")
        command = f"python -m benchmarks.seed_history {ref}"
        with make_watcher(Console(stderr=True), settings) as watcher:
            planner = SourcePlanner(settings, [source] * len(settings.backends))
            result = run_experiment(settings, folder, command, watcher, planner)
        if result.interrupted:
            raise KeyboardInterrupt
        if not result.run.complete:
            raise LabError(str(result.run.incomplete_reason))
        target = out / f"{position(ref, root):04}-{folder.id}"
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        # A history is in the order of commits, not of measuring them.
        run = msgspec.structs.replace(
            result.run, id=target.name, created=git(root, "show", "-s", "--format=%cI", ref)
        )
        keep(run, target)
        return run


def position(ref: str, root: Path) -> int:
    """How many commits come before this one, itself included."""
    return int(git(root, "rev-list", "--count", ref))


def keep(run: Run, folder: Path) -> None:
    """Write the record alone."""
    write_whole(folder / "run.json", msgspec.json.encode(run) + b"\n")


if __name__ == "__main__":
    raise SystemExit(main())
