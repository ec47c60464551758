"""A run or a verdict in the formats of others: Markdown, CSV, JUnit XML, the JSON of
github-action-benchmark, OpenMetrics. Pure: text in memory."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree as ET

import msgspec

from harness.core.errors import LabError
from harness.core.metrics import BY_PATH, HEADLINES, metrics_of
from harness.core.record import Run
from harness.core.trials import design_at
from harness.core.wording import arm_names, figure_ends
from harness.stats.intervals import Direction
from harness.studies.regress import sentences as words
from harness.studies.regress.verdict import Verdict

FORMATS = (
    "markdown", "csv", "junit", "benchmark-action", "benchmark-action-bigger", "openmetrics",
)  # fmt: skip
# What XML 1.0 cannot hold at all, not even escaped.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Figure:
    """One exported figure, with its interval where there is one. `unit` as people write it."""

    backend: str
    rps: float | None
    metric: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    rounds: int
    outcome: str = ""
    limit: str = ""
    note: str = ""
    label: str = ""

    @property
    def title(self) -> str:
        """`thread-pool @ 2000 RPS: server.cpu_us_per_request.total`."""
        if self.rps is None:
            return self.metric
        return f"{self.label or self.backend} @ {self.rps:g} RPS: {self.metric}"


def run_text(run: Run, form: str) -> str:
    """The cells of a run in one of `FORMATS`. Raises `LabError` for a run without any."""
    if not run.cells:
        raise LabError(
            f"the run {run.id} has no cells to export: it ended before any; make it again"
        )
    figures = _of_run(run)
    if form == "markdown":
        return _run_markdown(run, figures)
    if form == "junit":
        return _run_junit(run)
    return _common(figures, form, "metricstream_lab")


def verdict_text(verdict: Verdict, form: str) -> str:
    """A verdict in one of `FORMATS`. Values are ratios new/old (for `--min`, the figure)."""
    if form == "markdown":
        return _verdict_markdown(verdict)
    figures = _of_verdict(verdict)
    if form == "junit":
        return _verdict_junit(verdict, figures)
    return _common([_whole(verdict), *figures], form, "metricstream_lab_regress")


def _common(figures: Sequence[Figure], form: str, prefix: str) -> str:
    if form == "csv":
        return _csv(figures)
    if form == "openmetrics":
        return _openmetrics(figures, prefix)
    direction = Direction.HIGHER_IS_BETTER if form.endswith("bigger") else Direction.LOWER_IS_BETTER
    return _benchmark_action(figures, direction)


def _of_run(run: Run) -> list[Figure]:
    labels = {source.slot: source.label for source in run.sources}
    names = arm_names(run.settings)
    twins = len(set(names)) < len(names)
    found = []
    for cell in run.cells:
        label = names[cell.slot] + (f" #{cell.slot + 1}" if twins else "")
        if cell.slot in labels:
            label += f" of {labels[cell.slot]}"
        found += [
            Figure(cell.backend, cell.rps, path, BY_PATH[path].unit.symbol, *figure_ends(m),
                   cell.rounds, label=label)
            for path, m in cell.metrics.items()
        ]  # fmt: skip
    return found


def _of_verdict(verdict: Verdict) -> list[Figure]:
    found = []
    for check in verdict.checks:
        estimate = check.estimate
        what = BY_PATH[check.metric].unit.symbol if check.basis == "value" else "ratio"
        label = check.backend + (f" over {check.reference}" if check.reference else "")
        found.append(
            Figure(check.backend, check.rps, check.metric, what,
                   estimate.value if estimate else None, estimate.low if estimate else None,
                   estimate.high if estimate else None, estimate.n if estimate else 0,
                   check.outcome, words.limit_text(check), check.note or "",
                   f"{label}, {check.basis}")
        )  # fmt: skip
    return found


WHOLE, CUT = "run.complete", "run.partial"  # 1 or 0, for formats that hold nothing but figures


def _whole(verdict: Verdict) -> Figure:
    """Whether the run is whole, as a figure; the outcome is that of the whole check."""
    whole = 0.0 if verdict.cut else 1.0
    note = words.cut_text(verdict)
    return Figure("", None, WHOLE, "1", whole, None, None, 0, verdict.outcome, note=note,
                  label="whole check")  # fmt: skip


def _as_partial(f: Figure) -> Figure:
    """`run.complete` turned round, for a file in which smaller is better."""
    return replace(f, metric=CUT, value=1 - (f.value or 0.0)) if f.metric == WHOLE else f


def _direction(metric: str) -> Direction | None:
    return None if metric in (WHOLE, CUT) else BY_PATH[metric].direction


def _title(metric: str) -> str:
    return "whether the run is whole" if metric == WHOLE else BY_PATH[metric].title


def _rate(rps: float | None) -> str:
    return "" if rps is None else f"{rps:g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# ---- CSV -----------------------------------------------------------------------------------------


def _csv(figures: Iterable[Figure]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "backend", "rps", "metric", "unit", "value", "low", "high",
                     "rounds", "outcome", "limit", "note"])  # fmt: skip
    for f in figures:
        writer.writerow([_text(f.label), _text(f.backend), f.rps, _text(f.metric), f.unit, f.value,
                         f.low, f.high, f.rounds, f.outcome, _text(f.limit),
                         _text(f.note)])  # fmt: skip
    return text.getvalue()


def _text(text: str) -> str:
    """With an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


# ---- github-action-benchmark ---------------------------------------------------------------------


def _benchmark_action(figures: Iterable[Figure], direction: Direction) -> str:
    """The array that `customSmallerIsBetter` and `customBiggerIsBetter` read: name, unit, value,
    range, extra. One file holds one direction; figures without a value are left out."""
    entries: list[dict[str, Any]] = []
    smaller = direction is Direction.LOWER_IS_BETTER
    for f in map(_as_partial, figures) if smaller else figures:
        value = _finite(f.value)
        if value is None or _direction(f.metric) not in (None, direction):
            continue
        entry: dict[str, Any] = {"name": f.title, "unit": f.unit, "value": value}
        if f.low is not None and f.high is not None:
            entry["range"] = f"{f.low:.6g} to {f.high:.6g}"
        rounds = "" if f.metric in (WHOLE, CUT) else f"{f.rounds} valid rounds"
        extra = [rounds, f.outcome, f.limit, f.note]
        entry["extra"] = "\n".join(part for part in extra if part)
        entries.append(entry)
    return msgspec.json.format(msgspec.json.encode(entries), indent=1).decode() + "\n"


# ---- OpenMetrics ---------------------------------------------------------------------------------


def _openmetrics(figures: Sequence[Figure], prefix: str) -> str:
    """Gauges, one family a metric; `bound` is value, low or high. Ends with `# EOF`."""
    families: dict[str, list[Figure]] = {}
    for f in figures:
        kind = "_ratio" if f.unit == "ratio" else ""
        name = prefix + "_" + re.sub(r"[^a-zA-Z0-9_]", "_", f.metric) + kind
        families.setdefault(name, []).append(f)
    lines = []
    for name, members in families.items():
        lines.append(f"# TYPE {name} gauge")
        lines.append(f"# HELP {name} {_escaped(_title(members[0].metric))}")
        for f in members:
            for bound, value in (("value", f.value), ("low", f.low), ("high", f.high)):
                if value is not None:
                    labels = {"cell": f.label or f.backend, "backend": f.backend,
                              "rps": _rate(f.rps), "bound": bound}  # fmt: skip
                    if f.metric == WHOLE:
                        labels |= {"outcome": f.outcome, "reason": f.note}
                    inside = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items() if v)
                    number = repr(value) if math.isfinite(value) else _special(value)
                    lines.append(f"{name}{{{inside}}} {number}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


# ---- JUnit ---------------------------------------------------------------------------------------


def _verdict_junit(verdict: Verdict, figures: Sequence[Figure]) -> str:
    suite = _suite("labrun regress")
    failures, skipped, errors = 0, 0, 0
    case = _case(suite, "run", "complete")
    if verdict.cut is not None:
        candidates = verdict.cut.side == "candidate"
        failures, errors = int(candidates), int(not candidates)
        kind, what = ("failure", "server-died") if candidates else ("error", "partial")
        element = ET.SubElement(case, kind, message=_xml(words.cut_text(verdict)), type=what)
        element.text = _xml(words.sentence(verdict))
    for check, f in zip(verdict.checks, figures, strict=True):
        case = _case(suite, f"{f.label} @ {f.rps:g} RPS", f.metric)
        detail = (
            f"{words.value_text(check)}, interval {words.interval_text(check)}, "
            f"passes: {words.limit_text(check)}"
        )
        if check.outcome == "fail":
            failures += 1
            element = ET.SubElement(case, "failure", message=_xml(detail), type="regression")
            element.text = _xml(words.sentence(verdict))
        elif check.outcome == "inconclusive":
            skipped += 1
            message = f"inconclusive: {check.note or 'cannot tell'}; {detail}"
            ET.SubElement(case, "skipped", message=_xml(message))
    return _junit(suite, 1 + len(figures), failures, skipped, errors)


def _run_junit(run: Run) -> str:
    """A test case a trial: sound or saturated passes, generator-limited is skipped."""
    suite = _suite(f"labrun run {run.id}")
    skipped = 0
    for trial in run.trials:
        where = f"{trial.name} #{trial.slot + 1} @ {trial.rps:g} RPS"
        case = _case(suite, where, f"round {trial.round}, {trial.class_}")
        case.set("time", f"{trial.window_s:.3f}")
        if not trial.valid:
            skipped += 1
            ET.SubElement(case, "skipped", message=_xml(trial.invalid_reason or "not valid"))
    failures = 0
    if not run.complete:
        failures = 1
        case = _case(suite, "run", "complete")
        ET.SubElement(case, "failure", message=_xml(run.incomplete_reason or ""), type="partial")
    return _junit(suite, len(run.trials) + failures, failures, skipped)


def _suite(title: str) -> ET.Element:
    return ET.Element("testsuite", name=_xml(title))


def _case(suite: ET.Element, where: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_xml(where), name=_xml(name))


def _junit(suite: ET.Element, tests: int, failures: int, skipped: int, errors: int = 0) -> str:
    counts = {"tests": tests, "failures": failures, "errors": errors, "skipped": skipped}
    for key, value in counts.items():
        suite.set(key, str(value))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    return _NO_XML.sub("?", text)


# ---- Markdown ------------------------------------------------------------------------------------


def _verdict_markdown(verdict: Verdict) -> str:
    lines = [f"**{_cell(words.sentence(verdict))}**", ""]
    for rps in words.levels(verdict.checks):
        lines += [f"### {rps:,.0f} requests a second", ""]
        rows = [
            [c.backend, BY_PATH[c.metric].title + (f" / {c.reference}" if c.reference else ""),
             words.side_text(c, c.baseline), words.side_text(c, c.candidate),
             words.value_text(c), words.interval_text(c), words.limit_text(c), c.outcome]
            for c in verdict.checks
            if c.rps == rps
        ]  # fmt: skip
        head = ["backend", "figure", "old", "new", "new/old", "interval", "passes", "verdict"]
        lines += [*_table(head, rows), ""]
    lines.append(f"Intervals are {verdict.confidence:.2%}; a figure fails only when its interval "
                 "lies wholly beyond the threshold.")  # fmt: skip
    lines += [f"\nNote: {_cell(note)}." for note in verdict.notes]
    return "\n".join(lines) + "\n"


def _run_markdown(run: Run, figures: Sequence[Figure]) -> str:
    headline = {metric.path for metric in HEADLINES}
    lines = [f"**{_cell(run.finding or run.id)}**", ""]
    if not run.complete:
        lines += [f"Partial run: {_cell(run.incomplete_reason or 'cut short')}.", ""]
    for rps in run.settings.rps:
        there = headline & {metric.path for metric in metrics_of(design_at(run, rps))}
        chosen = [f for f in figures if f.rps == rps and f.metric in there]
        rows = []
        for f in chosen:
            interval = "none"
            if f.low is not None and f.high is not None:
                ends = [words.figure(f.metric, end) for end in (f.low, f.high)]
                interval = ends[0] if len(set(ends)) == 1 else " to ".join(ends)
            title = BY_PATH[f.metric].title
            rows.append([f.label, title, words.figure(f.metric, f.value), interval, str(f.rounds)])
        head = ["backend", "figure", "median", "95 % interval", "rounds"]
        lines += [f"### {rps:,.0f} requests a second", "", *_table(head, rows), ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---"] * len(head)
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in (head, ruler, *rows)]


def _cell(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text).replace("\n", " ")
