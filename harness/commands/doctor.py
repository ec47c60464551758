"""`labrun doctor`: what on this machine would spoil a measurement, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from harness.core.checks import between
from harness.core.errors import LabError
from harness.core.metrics import BY_PATH
from harness.core.record import Environment, Finding, Settings, Trial
from harness.core.units import percent, rate
from harness.core.wording import listed
from harness.designs.trials import PlannedTrial
from harness.machine.cpus import CpuPlan, plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.machine.doctor import is_sound
from harness.machine.environment import read_environment
from harness.machine.neighbours import announced, neighbours
from harness.machine.outside.permissions import permissions
from harness.measure.run import examined, out_of_the_way
from harness.measure.trial import run_trial
from harness.session.run import keep_controls
from harness.session.settings import CompareOptions, design_options, make_settings
from harness.store import as_json
from harness.studies.compare.aa_control import CONTROL_FILE
from harness.targets.arm import Arm
from harness.targets.interpreter import FoundPython, found_pythons
from harness.terminal.output import Console, command_line, complain, write_json

_STYLES = {"good": "green", "doubtful": "yellow", "spoils": "bold red"}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The record that `labrun doctor --json` prints. `sound`: whether a run at `rps` would be;
    `interpreters`: those that `--pythons` could compare, or could once mended."""

    rps: float
    sound: bool
    findings: list[Finding]
    environment: Environment
    interpreters: list[FoundPython] = []


def doctor_command(rps: float, duration_s: float, in_json: bool) -> int:
    """Examine this machine for a run at `rps`; the exit status, 1 when it would not be sound."""
    between("--rps", rps, 1, 100_000)
    between("--duration", duration_s, 0, 60)
    cpus = plan_cpus()
    settings = trial_settings(rps, duration_s)
    environment = examined(read_environment(cpus), settings, cpus)
    findings = list(environment.findings)
    findings.append(others())
    findings += seen_from_outside()
    if duration_s > 0:
        with announced(command_line()):
            findings += tried(settings, cpus)
    sound, pythons = is_sound(findings), found_pythons()
    if in_json:
        found = Diagnosis(
            rps=rps, sound=sound, findings=findings, environment=environment, interpreters=pythons
        )
        write_json(as_json(found))
    else:
        console = Console()
        _print_pythons(console, pythons)
        _print(console, rps, sound, findings)
    return 0 if sound else 1


def aa_command(rps: float | None, runs: int | None, out: str | None) -> int:
    """Comparisons of the pool with itself, as `labrun compare` makes them, until as many are on
    record; the exit status. Later runs of this machine at these settings quote them."""
    wanted = 5 if runs is None else runs
    between("--runs", wanted, 1, 1000)
    default = design_options(None, None, None, None, None, "open-loop", None)
    options = CompareOptions(
        rps=f"{2000.0 if rps is None else rps:g}", backends="thread-pool,thread-pool", **default
    )
    settings, results = make_settings(options), Path(out or "results")
    try:
        with announced(command_line()):
            data = keep_controls(settings, wanted, results, complain)
    except KeyboardInterrupt:
        complain("interrupted; what has ended is on record, and the same command goes on")
        return 130
    table = Table(title=f"thread-pool against itself, {rate(settings.rps[0])}, {len(data.runs)} "
                        "comparisons", title_justify="left", title_style="bold")  # fmt: skip
    for name in ("headline", "judged", "told apart", "ruled out above"):
        table.add_column(name, justify="left" if name == "headline" else "right")
    for found in data.headline:
        limit = "-" if found.ruled_out is None else percent(found.ruled_out)
        table.add_row(
            BY_PATH[found.metric].title, str(found.judged), str(found.false_alarms), limit
        )
    console = Console()
    console.print(table)
    console.print(f"On record: {results / CONTROL_FILE}. Of twenty, one may be told apart by "
                  "chance; fewer than twenty show less.", highlight=False)  # fmt: skip
    return 0


def trial_settings(rps: float, duration_s: float) -> Settings:
    """The settings of a trial of the pool at `rps`, everything else at the lab's defaults."""
    return make_settings(
        CompareOptions(
            rps=str(rps), backends="thread-pool", rounds=1, duration_s=max(duration_s, 0.5),
            warmup_s=0.5,
        )
    )  # fmt: skip


def others() -> Finding:
    """Whether another run measures here: each takes CPU from the other."""
    found = neighbours()
    if not found:
        return Finding(check="other runs", level="good", found="none measures here", mend=None)
    return Finding(
        check="other runs", level="spoils", found="; ".join(map(str, found)),
        mend="wait until it has ended, or stop it",
    )  # fmt: skip


def seen_from_outside() -> list[Finding]:
    """Which figures of servers by command would be missing here, and what would mend it."""
    check = "servers by command"
    try:
        found = permissions()
    except LabError as error:
        return [Finding(check=check, level="doubtful", found=str(error), mend=None)]
    missing: dict[tuple[str | None, str | None], list[str]] = {}
    for one in found:
        if not one.permitted:
            missing.setdefault((one.reason, one.remedy), []).append(one.quantity)
    seen = listed([one.quantity for one in found if one.permitted])
    good = Finding(check=check, level="good", found=f"seen from outside: {seen}", mend=None)
    return [good] + [
        Finding(
            check=check, level="doubtful", found=f"no {' and no '.join(names)}: {why}", mend=how
        )
        for (why, how), names in missing.items()
    ]


def tried(settings: Settings, cpus: CpuPlan) -> list[Finding]:
    """Findings of one short trial: whether the generator keeps up, and what the kernel dropped."""
    rps = settings.rps[0]
    planned = PlannedTrial(Arm("thread-pool", 0), rps, 1, 1, settings.seed, settings.seed + 1)
    try:
        descriptors = raise_descriptor_limit()
        with out_of_the_way(cpus):
            result = run_trial(planned, settings, cpus, descriptors)
    except LabError as error:
        return [Finding(check="a trial", level="spoils", found=str(error), mend=None)]
    if result.failure is not None:
        return [Finding(check="a trial", level="spoils", found=result.failure, mend=None)]
    return [_generator(result.trial), *_kernel(result.trial)]


def _generator(trial: Trial) -> Finding:
    lag = trial.client.lag_us
    late = "" if lag.p99 is None else f", 99 % of sends within {lag.p99:,.0f} us"
    client = trial.client
    found = (
        f"{client.scheduled - client.outcomes.unsent:,} of {client.scheduled:,} requests sent at "
        f"{trial.rps:,.0f} RPS{late}"
    )
    if trial.valid:
        return Finding(check="generator", level="good", found=found, mend=None)
    return Finding(
        check="generator", level="spoils", found=f"{found}: {trial.invalid_reason}",
        mend="compare at a lower rate, on a faster machine, or with what else runs here stopped",
    )  # fmt: skip


def _kernel(trial: Trial) -> list[Finding]:
    """Server-saturated trials are a result, not a fault of the machine, and are not told here."""
    return [
        Finding(check="a trial", level="doubtful", found=warning, mend=None)
        for warning in trial.warnings
    ]


def _print_pythons(console: Console, pythons: Sequence[FoundPython]) -> None:
    """The interpreters that the servers could run under, and how to mend those that lack something.
    `--json` has paths and commands in one piece."""
    console.print("Pythons that the servers could run under (--python, --pythons):", style="bold")
    for each in pythons:
        if each.too_old:
            continue
        build = ", free-threaded" if each.free_threaded_build else ""
        gil = "GIL on" if each.gil_enabled else "GIL off"
        lacks = f": lacks {' and '.join(each.missing)}" if each.missing else ""
        console.print(f"{each.version}{build}, {gil}{lacks}", highlight=False)
        console.print(f"  {each.path}", highlight=False, overflow="fold")
        if each.mend is not None:
            style = _STYLES["doubtful"]
            console.print(f"  mend: {each.mend}", highlight=False, style=style, overflow="fold")
    old = listed([each.version for each in pythons if each.too_old])
    if old:
        console.print(f"Too old for them: {old}.", highlight=False)
    console.print()


def _print(console: Console, rps: float, sound: bool, findings: Sequence[Finding]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.level]
        table.add_row(Text(finding.level, style=style), finding.check, finding.found)
        if finding.mend is not None:
            table.add_row("", "", Text(f"mend: {finding.mend}", style=style))
    console.print(table, highlight=False)
    console.print()
    bad = [finding.check for finding in findings if finding.level == "spoils"]
    if sound:
        console.print(f"A run at {rps:,.0f} RPS would be sound here.", style="bold")
    else:
        what = ", ".join(dict.fromkeys(bad))
        console.print(
            f"A run at {rps:,.0f} RPS would not be sound here ({what}).",
            style="bold red", highlight=False, soft_wrap=False,
        )  # fmt: skip
