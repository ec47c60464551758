"""A run as a gallery file: what it measured and on what kind of machine, and nothing of whose."""

from __future__ import annotations

import getpass
import json
import math
import os
import platform
import re
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec

from harness.core.errors import LabError
from harness.core.metrics import shown
from harness.core.record import CellMetric, Comparison, Environment, Run, Settings
from harness.core.trials import run_design
from harness.core.wording import slot_names
from harness.designs.stopping import ratio_confidence
from harness.gallery.record import (
    Arm,
    CellSummary,
    Entry,
    Estimate,
    LoadSummary,
    Machine,
    Model,
    Name,
    Ratio,
    TrialCounts,
)
from servers.native.build import NATIVE

_DIGITS = 5  # more are noise
_SHORTEST_PRIVATE = 3  # letters: a shorter name is in any text


def gallery_text(run: Run) -> str:
    """The gallery file of a run, one figure a line. Raises `LabError` for a run that says nothing
    to others: cut short, without a ratio, of commits and not of servers."""
    wrong = _unfit(run)
    if wrong is not None:
        raise LabError(f"the run {run.id} {wrong}")
    data = msgspec.to_builtins(gallery_entry(run))
    try:
        msgspec.convert(data, Entry)
    except msgspec.ValidationError as error:
        raise LabError(f"the run {run.id} has what no gallery file may hold: {error}") from error
    return _one_a_line(data)


def gallery_entry(run: Run) -> Entry:
    """The record of a gallery file."""
    settings, private = run.settings, _private_words(run.settings)
    paths = {metric.path for _, metric in shown("table", run_design(run))}
    return Entry(
        gallery=1,
        created=_utc(run.created),
        machine=_machine(run.environment, private),
        settings=_load(run),
        arms=_arms(run, private),
        trials=_counts(run),
        confidence=ratio_confidence(settings),
        cells=[
            CellSummary(
                arm=cell.slot, rps=cell.rps,
                metrics={path: _estimate(found) for path, found in cell.metrics.items()
                         if path in paths},
            )
            for cell in run.cells
        ],
        comparisons=[_ratio(found) for found in run.comparisons if found.metric in paths],
    )  # fmt: skip


def _unfit(run: Run) -> str | None:
    if not run.complete:
        return "was cut short; the gallery takes whole runs: make it again"
    if run.settings.trace is not None:
        return "was traced, which costs CPU; the gallery takes runs without --trace"
    if run.settings.bystanders:
        return "was made beside slow clients or idle connections; the gallery takes runs without"
    if len({(source.label, source.commit) for source in run.sources}) > 1:
        return "compares commits; the gallery takes comparisons of servers"
    if not any(found.ratio is not None or found.beyond for found in run.comparisons):
        return "has no ratio of two servers; the gallery takes runs of labrun compare"
    return None


def _load(run: Run) -> LoadSummary:
    settings = run.settings
    return LoadSummary(
        design=run_design(run), rounds=settings.rounds, duration_s=settings.duration_s,
        block_s=settings.block_s, clients=settings.clients, timeout_s=settings.timeout_s,
        arrivals=settings.arrivals, workload=settings.workload, driver=settings.driver,
        connections=settings.connections, workers=settings.workers,
        queue_size=settings.queue_size,
    )  # fmt: skip


def _counts(run: Run) -> TrialCounts:
    found = Counter(trial.class_ for trial in run.trials)
    return TrialCounts(
        sound=found["sound"],
        server_saturated=found["server-saturated"],
        generator_limited=found["generator-limited"],
    )


def _utc(created: str) -> str:
    """To the second; the same moment wherever the run was made."""
    return datetime.fromisoformat(created).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _machine(found: Environment, private: Collection[str]) -> Machine:
    kernel = _allowed(found.kernel, Name)
    if _holds(kernel, private):  # somebody built it and gave it a name
        kernel = re.match(r"[\d.]*", kernel)[0].strip(".") or "not told"  # type: ignore[index]
    return Machine(
        cpu_model=_allowed(found.cpu_model, Model) if found.cpu_model else None,
        cpu_count=found.cpu_count,
        memory_bytes=found.memory_bytes,
        kernel=kernel,
        virtualisation=_allowed(found.virtualisation, Name) if found.virtualisation else None,
    )


# ---- names ----------------------------------------------------------------------------------


def _arms(run: Run, private: Collection[str]) -> list[Arm]:
    """Names as they were given, but for one that tells of a machine or a person, or that no
    gallery file may hold: that server is called by its place."""
    settings, arms = run.settings, []
    foreign = {server.name for server in settings.servers}
    for slot, (name, backend) in enumerate(
        zip(slot_names(settings), settings.backends, strict=True)
    ):
        told = name == _allowed(name, Name) and not _holds(name, private)
        language: Any = None
        if backend in NATIVE:
            language = "C++"
        elif backend not in foreign and settings.target is None:
            language = "Python"
        version, gil = _interpreter(run, slot) if language == "Python" else (None, None)
        arms.append(
            Arm(name=name if told else f"server {slot + 1}", language=language, python=version,
                gil=gil)
        )  # fmt: skip
    return arms


def _interpreter(run: Run, slot: int) -> tuple[str, bool]:
    """Which Python ran a server, and whether its lock was on: as the server said, else as the lab
    found it before (records of earlier labs)."""
    for trial in run.trials:
        said = trial.server
        if said is None or trial.slot != slot:
            continue
        if said.python_version is not None and said.gil_enabled is not None:
            return _version(said.python_version), said.gil_enabled
    found = run.environment
    if found.server_python is not None:
        return _version(found.server_python.version), found.server_python.gil_enabled
    return _version(found.python_version), found.gil_enabled


def _version(text: str) -> str:
    return _allowed(text.removeprefix("CPython "), Name)


def _private_words(settings: Settings) -> set[str]:
    """Names of this machine, its user, and hosts and folders of the run, in small letters."""
    words = {platform.node(), *platform.node().split("."), Path.home().name}
    try:
        words.add(getpass.getuser())
    except (KeyError, OSError):  # a user without a name
        pass
    for address in (settings.target, settings.control, settings.master):
        words |= {part.rpartition(":")[0] for part in (address or "").split(",")}
    for server in settings.servers:
        words |= {urlsplit(server.url or "").hostname or "", server.folder or ""}
        words |= {os.path.basename(server.folder or "")}
    return {word.lower() for word in words if len(word) >= _SHORTEST_PRIVATE}


def _holds(text: str, private: Collection[str]) -> bool:
    return any(
        re.search(rf"(?<![a-z0-9]){re.escape(w)}(?![a-z0-9])", text.lower()) for w in private
    )


def _allowed(text: str, kind: Any) -> str:
    """The text without what no text of that kind may hold."""
    rule = get_args(kind)[1]
    kept = re.sub(r"[^A-Za-z0-9 ._:+#=,()@-]", "", text).lstrip(" ._:+#=,()@-")
    kept = kept if kind is Model else kept.replace("@", "")
    return kept[: rule.max_length] or "not told"


# ---- figures --------------------------------------------------------------------------------


def _estimate(found: CellMetric) -> Estimate:
    return Estimate(
        median=_short(found.median), ci_low=_short(found.ci_low), ci_high=_short(found.ci_high),
        beyond=found.beyond,  # type: ignore[arg-type]  # they are names of these three
    )  # fmt: skip


def _ratio(found: Comparison) -> Ratio:
    return Ratio(
        arm=found.slot, rps=found.rps, metric=found.metric, ratio=_short(found.ratio),
        ci_low=_short(found.ci_low), ci_high=_short(found.ci_high), verdict=found.verdict,
        beyond=found.beyond,  # type: ignore[arg-type]
    )  # fmt: skip


def _short(value: float | None) -> float | None:
    """With as many digits as mean something."""
    if value is None or value == 0 or not math.isfinite(value):
        return value
    return float(f"{value:.{_DIGITS}g}")


def _one_a_line(data: dict[str, Any]) -> str:
    """JSON of which each item of a list has a line, so that it can be read and compared."""
    parts = []
    for key, value in data.items():
        if isinstance(value, list):
            items = ",\n".join(f"  {json.dumps(item)}" for item in value)
            parts.append(f" {json.dumps(key)}: [\n{items}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
