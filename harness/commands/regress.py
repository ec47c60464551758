"""`labrun regress`: measure or read, judge, show; the exit status says what CI must know."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.commands.compare import measure
from harness.core.errors import LabError, ServerRefused
from harness.core.record import SCHEMA_VERSION, Run, Settings
from harness.designs.trials import Planner
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment
from harness.measure.run import RunResult
from harness.reading.runs import load_run
from harness.session.settings import CompareOptions, make_settings
from harness.store import RunFolder
from harness.studies.regress.against import (
    against_planner,
    paired_settings,
    prepared,
    tree_of_ref,
    worktree_source,
)
from harness.studies.regress.sentences import sentence
from harness.studies.regress.thresholds import Thresholds, parse_thresholds
from harness.studies.regress.verdict import Verdict, judge_interleaved, judge_runs
from harness.targets.git_ref import repository_root
from harness.terminal.drawing import draw
from harness.terminal.live import make_watcher
from harness.terminal.output import Console, command_line, complain
from harness.terminal.table import print_verdict


@dataclass(frozen=True, slots=True)
class RegressOptions:
    """The options of `labrun regress`, as typed; `measure` has the limits too."""

    baseline: str | None
    candidate: str | None
    against_ref: str | None
    strict: bool
    format: str
    measure: CompareOptions
    build: str | None = None


def regress_command(options: RegressOptions) -> int:
    """0 passed or cannot tell, 1 failed (or, if strict, cannot tell) or not finished, 130
    interrupted."""
    from harness.studies.regress.exports import FORMATS, verdict_text

    if options.format != "table" and options.format not in FORMATS:
        raise LabError(
            f"--format {options.format!r} is not known; take table, {', '.join(FORMATS)}"
        )
    thresholds = parse_thresholds(options.measure.max_loss or (), options.measure.least or ())
    result, verdict = _judged(options, thresholds)
    if options.format == "table":
        print_verdict(Console(), verdict)
        if result is not None:
            Console().print(f"Record and charts: {result.folder.path}", highlight=False,
                            soft_wrap=True)  # fmt: skip
    else:
        sys.stdout.write(verdict_text(verdict, options.format))
        complain(sentence(verdict))
    if result is not None:
        _keep(result, verdict)
    if result is not None and result.interrupted:
        complain(f"interrupted; the rest is in {result.folder.path}")
        return 130
    return int(not _may_pass(verdict, options.strict))


def _may_pass(verdict: Verdict, strict: bool) -> bool:
    """Whether CI may go on: not with a check that was cut short, or that compared nothing."""
    if verdict.cut is not None or not verdict.compared:
        return False
    return verdict.outcome == "pass" or (verdict.outcome == "inconclusive" and not strict)


def _judged(options: RegressOptions, thresholds: Thresholds) -> tuple[RunResult | None, Verdict]:
    """The verdict, and the run where one had to be made for it."""
    if options.against_ref is not None:
        if options.baseline is not None:
            raise LabError("--against-ref measures both sides itself; name no run beside it")
        result = measure_against(options.against_ref, options.measure, options.build)
        return result, judge_interleaved(result.run, thresholds)
    if options.build is not None or options.measure.names_servers:
        raise LabError(
            "--server and --build are for --against-ref GITREF; add it, or leave them out"
        )
    if options.baseline is None:
        raise LabError("name a BASELINE run (a folder or its run.json), or --against-ref GITREF")
    baseline = load_run(Path(options.baseline))
    if options.candidate is not None:
        return None, judge_runs(baseline, load_run(Path(options.candidate)), thresholds)
    if len({source.label for source in baseline.sources}) > 1:
        return None, judge_interleaved(baseline, thresholds)
    if not baseline.complete:
        raise LabError(
            f"the run {baseline.id} is partial ({baseline.incomplete_reason}); make it again"
        )
    try:
        result = _measure(baseline.settings, options.measure, None)
    except ServerRefused as error:
        result = _refused(baseline.settings, options.measure, 0, str(error))
    if result.interrupted:
        raise KeyboardInterrupt
    return result, judge_runs(baseline, result.run, thresholds)


def measure_against(ref: str, measure: CompareOptions, command: str | None = None) -> RunResult:
    """Old and new, alternately, in one run; a candidate whose server cannot be driven is recorded
    as such. `command`: what builds a tree. Raises `LabError`, also for a baseline of that kind."""
    one = make_settings(measure)
    ours = _of_this_project(one, command)
    root = repository_root(ours=ours)
    settings = paired_settings(_in_trees(one, root))
    foreign = bool(one.servers)
    with ExitStack() as trees:
        old = trees.enter_context(tree_of_ref(ref, root))
        old = trees.enter_context(prepared(old, command, foreign))
        new = worktree_source(root)
        try:
            new = trees.enter_context(prepared(new, command, foreign))
        except ServerRefused as error:
            planner = against_planner(settings, old, new)
            return _refused(settings, measure, 1, str(error), planner)
        if old.packages or new.packages:
            complain(
                f"{old.label} and this tree need different packages; installed beside: "
                f"{', '.join(old.packages + new.packages)}"
            )
        if new.dirty:
            complain(f"{new.label}: the record says so")
        planner = against_planner(settings, old, new)
        try:
            return _measure(settings, measure, planner)
        except ServerRefused as error:
            if error.slot is None or error.slot % 2 == 0:  # the old one's: nothing can be judged
                raise
            return _refused(settings, measure, error.slot, str(error), planner)


def _of_this_project(settings: Settings, command: str | None) -> bool:
    """Whether the trees must have this project's servers. Raises `LabError` for what cannot be of
    two trees."""
    for server in settings.servers:
        if server.url is not None:
            raise LabError(f"--url {server.name} is of no commit; name a command by --server")
    foreign = {server.name for server in settings.servers}
    ours = [backend for backend in settings.backends if backend not in foreign]
    if foreign and ours:
        raise LabError(
            "--server and --backends are not measured against a commit at once; name one of them"
        )
    if command is not None and ours:
        raise LabError("--build is for --server NAME=COMMAND; add one or leave it out")
    return any(":" not in backend for backend in ours)


def _in_trees(settings: Settings, root: Path) -> Settings:
    """The settings with the folders of servers as seen from the top of a tree: that of --cwd, else
    the current one. Raises `LabError` for one that no tree has."""
    servers = []
    for server in settings.servers:
        folder = Path(server.folder or "").absolute().resolve()
        try:
            within = folder.relative_to(root.resolve())
        except ValueError as error:
            raise LabError(
                f"--cwd {server.folder} is not within {root}; name a folder of it"
            ) from error
        servers.append(msgspec.structs.replace(server, folder=str(within)))
    return msgspec.structs.replace(settings, servers=servers)


def _measure(settings: Settings, options: CompareOptions, planner: Planner | None) -> RunResult:
    old_and_new = [(slot, slot + 1) for slot in range(0, len(settings.backends), 2)]
    pairs = None if planner is None else old_and_new
    watching = make_watcher(Console(stderr=True), settings, pairs)
    return measure(settings, options.out, options.name, watching, planner)


def _refused(
    settings: Settings,
    measure: CompareOptions,
    slot: int,
    reason: str,
    planner: Planner | None = None,
) -> RunResult:
    """The record of a run of which nothing could be measured, for the server of `slot`."""
    folder = RunFolder.create(Path(measure.out), measure.name)
    run = Run(
        schema=SCHEMA_VERSION,
        id=folder.id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        complete=False,
        command=command_line(),
        environment=read_environment(plan_cpus()),
        settings=settings,
        trials=[],
        cells=[],
        comparisons=[],
        incomplete_reason=reason,
        refused=slot,
    )
    run = run if planner is None else planner.conclude(run, folder.path.parent)
    requests, timeline = folder.finish()
    folder.save(run)
    return RunResult(run, requests, timeline, folder, False)


def _keep(result: RunResult, verdict: Verdict) -> None:
    """The verdict's sentence into the record, its picture and its Markdown beside it."""
    from harness.studies.regress import chart as verdicts
    from harness.studies.regress.exports import verdict_text
    from harness.views import style

    run: Run = result.run
    if run.sources:
        run = msgspec.structs.replace(run, finding=sentence(verdict))
        result.folder.save(run)

    def save_chart() -> None:
        with style.styled():
            style.save(verdicts.draw(verdict), result.folder.path / "charts", "regress")

    def save_text() -> None:
        text = verdict_text(verdict, "markdown")
        (result.folder.path / "regress.md").write_text(text, encoding="utf-8")

    draw([("the chart regress", save_chart), ("regress.md", save_text)])
