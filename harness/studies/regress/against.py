"""Old and new code in one run: every backend of both trees, alternately, on equal schedules."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from harness.core.errors import ServerRefused
from harness.core.record import Run, Settings, Trial
from harness.core.text import visible
from harness.designs.trials import PlannedRestart, PlannedTrial, Step
from harness.studies.compare.blocks import as_compared
from harness.studies.compare.comparison import build_cells
from harness.studies.compare.planner import ComparePlanner
from harness.targets.arm import Arm
from harness.targets.git_ref import checked_out, is_dirty, repository_root, resolve_commit
from harness.targets.server_code import ServerSource, prepare

_BUILD_S = 3600.0


class SourcePlanner(ComparePlanner):
    """A comparison whose servers come from given folders, one for each slot."""

    most_deaths = 0  # one that dies is an answer

    def __init__(self, settings: Settings, sources: Sequence[ServerSource]) -> None:
        if len(sources) != len(settings.backends):
            raise ValueError(f"{len(settings.backends)} slots, {len(sources)} sources")
        super().__init__(settings)
        self._sources = list(sources)

    def next_trial(self, trials: Sequence[Trial]) -> Step | None:
        step = super().next_trial(trials)
        match step:
            case PlannedTrial():
                return replace(step, arm=self._of(step.arm))
            case PlannedRestart():
                return replace(step, arms=tuple(map(self._of, step.arms)))
        return step

    def _of(self, arm: Arm) -> Arm:
        source = self._sources[arm.slot]
        if arm.server is not None:
            folder = source.folder / (arm.server.folder or "")
            server = msgspec.structs.replace(arm.server, folder=str(folder))
            return replace(arm, server=server)
        return replace(arm, source=source)

    def conclude(self, run: Run, results: Path) -> Run:
        recorded = [source.record(slot) for slot, source in enumerate(self._sources)]
        if len({source.label for source in self._sources}) == 1:
            run = super().conclude(run, results)  # one tree: a comparison of its backends
        else:
            # Slot 0 is the baseline of its own backend alone: no comparisons against it.
            trials = as_compared(run.trials)
            cells = build_cells(run.settings, trials)
            run = msgspec.structs.replace(run, trials=trials, cells=cells)
        return msgspec.structs.replace(run, sources=recorded)


def paired_settings(settings: Settings) -> Settings:
    """Each backend twice in a row: the even slots are the baseline's, the odd the candidate's."""
    twice = [backend for backend in settings.backends for _ in range(2)]
    return msgspec.structs.replace(settings, backends=twice)


def against_planner(
    settings: Settings, baseline: ServerSource, candidate: ServerSource
) -> SourcePlanner:
    """A planner for `paired_settings`: old and new next to each other in every round."""
    return SourcePlanner(settings, [baseline, candidate] * (len(settings.backends) // 2))


@contextmanager
def tree_of_ref(ref: str, root: Path) -> Iterator[ServerSource]:
    """The tree of a commit, with nothing done to it. Raises `LabError`: no such commit."""
    commit = resolve_commit(root, ref)
    label = commit[:10] if commit.startswith(ref) else f"{ref} ({commit[:10]})"
    with checked_out(root, commit) as tree:
        yield ServerSource(label, tree, commit)


@contextmanager
def source_of_ref(ref: str, root: Path | None = None) -> Iterator[ServerSource]:
    """The servers of a commit, ready to run. Raises `LabError`: no such commit, no server there."""
    with tree_of_ref(ref, repository_root() if root is None else root) as source:
        yield prepare(source, source.folder.parent)


def build(source: ServerSource, command: str | None) -> None:
    """Run a command in a tree, split as a shell would, without a shell. Raises `ServerRefused`."""
    if command is None:
        return
    where = f"--build {command!r} in {source.label}"
    try:
        done = subprocess.run(
            shlex.split(command), cwd=source.folder, capture_output=True, text=True,
            errors="replace", timeout=_BUILD_S, check=False, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServerRefused(f"{where} cannot be run: {reason}; mend it") from error
    except subprocess.TimeoutExpired as error:
        raise ServerRefused(f"{where} did not end within {_BUILD_S:g} s; mend it") from error
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing said"]
        last = visible(lines[-1], keep="")
        raise ServerRefused(f"{where} failed (exit status {done.returncode}): {last}; mend it")


def worktree_source(root: Path | None = None) -> ServerSource:
    """The servers of the working tree as it is, uncommitted changes included; not yet tried."""
    root = repository_root() if root is None else root
    commit, dirty = resolve_commit(root, "HEAD"), is_dirty(root)
    label = f"working tree ({commit[:10]}{' and changes' if dirty else ''})"
    advice = "see what python -m servers thread-pool says there"
    return ServerSource(label, root, commit, dirty, advice=advice)


@contextmanager
def prepared(
    source: ServerSource, command: str | None = None, any_server: bool = False
) -> Iterator[ServerSource]:
    """The source, ready to run: of our servers, or, of `any_server`, built by a command. Raises
    `ServerRefused`: its server cannot be driven, or built."""
    if any_server:
        build(source, command)
        yield source
        return
    with TemporaryDirectory(prefix="labrun-") as scratch:
        yield prepare(source, Path(scratch))
