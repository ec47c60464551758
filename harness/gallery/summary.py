"""Gallery files side by side: the ratios of two servers wherever they were measured. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.metrics import BY_PATH, Metric
from harness.core.wording import counted
from harness.gallery.record import Arm, Entry, LoadSummary, Ratio

_USUAL_RPS = 2000.0
_TOLD = ("better", "worse", "more", "fewer")
_IN_CPP = "native-"  # the same server in C++


@dataclass(frozen=True, slots=True)
class Row:
    """One run of a pair: which file it is in, what the servers are written in, and the ratios at
    the pair's level by the path of their metric."""

    file: str
    entry: Entry
    language: str
    ratios: Mapping[str, Ratio]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers under one kind of load, in any language, with the runs that compare them at the
    level that most have. `load`: what kind, in words. `others`: how many runs have other levels
    alone."""

    baseline: str
    contender: str
    load: tuple[str, ...]
    rps: float
    rows: tuple[Row, ...]
    others: int


def pairs(entries: Sequence[tuple[str, Entry]]) -> list[Pair]:
    """All pairs in gallery files (each with its name), those with most runs first."""
    found: dict[tuple[str, str, tuple[str, ...]], list[tuple[str, Entry, int]]] = defaultdict(list)
    for file, entry in entries:
        for place, arm in enumerate(entry.arms[1:], start=1):
            names = entry.arms[0].name, arm.name
            baseline, contender = (name.removeprefix(_IN_CPP) for name in names)
            found[baseline, contender, _load(entry.settings)].append((file, entry, place))
    made = [_pair(*key, runs) for key, runs in found.items()]
    return sorted(made, key=lambda pair: (-len(pair.rows), pair.contender, pair.load))


def _load(settings: LoadSummary) -> tuple[str, ...]:
    return (
        f"workload {settings.workload}", settings.driver, f"connections {settings.connections}",
        f"timeout {settings.timeout_s:g} s",
    )  # fmt: skip


def _pair(
    baseline: str, contender: str, load: tuple[str, ...],
    runs: Sequence[tuple[str, Entry, int]],
) -> Pair:  # fmt: skip
    levels = [{r.rps for r in entry.comparisons if r.arm == place} for _, entry, place in runs]
    often = Counter(rps for found in levels for rps in found)
    rps = max(often, key=lambda rps: (often[rps], -abs(rps - _USUAL_RPS)), default=_USUAL_RPS)
    rows = [
        Row(file, entry, _language(entry, place),
            {r.metric: r for r in entry.comparisons if (r.arm, r.rps) == (place, rps)})
        for file, entry, place in runs
    ]  # fmt: skip
    there = [row for row in rows if row.ratios]
    there.sort(key=lambda row: (row.language, row.entry.machine.cpu_model or "", row.entry.created))
    return Pair(baseline, contender, load, rps, tuple(there), len(rows) - len(there))


def _language(entry: Entry, place: int) -> str:
    """Of both servers: `Python 3.11.7`; where they differ, both, the baseline's first."""
    both = [_written_in(arm) for arm in (entry.arms[0], entry.arms[place])]
    return " and ".join(dict.fromkeys(both))


def _written_in(arm: Arm) -> str:
    if arm.language is None:
        return "language not told"
    if arm.python is None:
        return arm.language
    return f"{arm.language} {arm.python}" + (" without the GIL" if arm.gil is False else "")


def finding(pair: Pair, metric: str) -> str:
    """What the runs of a pair say of one metric together, in a sentence."""
    found = [row.ratios[metric] for row in pair.rows if metric in row.ratios]
    values = [ratio.ratio for ratio in found if ratio.ratio is not None]
    what = f"the {BY_PATH[metric].title} of {pair.contender}"
    if not values:
        return f"At {pair.rps:,.0f} RPS no run has a ratio of {what} to that of {pair.baseline}"
    told = [r for r in found if r.verdict in _TOLD and r.ratio is not None]
    below = sum(1 for r in told if r.ratio is not None and r.ratio < 1)
    above, unknown = len(told) - below, len(found) - len(told)
    parts = [
        f"{direction} {pair.baseline} in {number} of {counted(len(found), 'run')}"
        for number, direction in ((below, "below that of"), (above, "above that of"))
        if number
    ]
    if unknown:
        parts.append(f"not told from it in {unknown} of {counted(len(found), 'run')}")
    low, high = min(values), max(values)
    size = f"{low:.2f}×" if low == high else f"{low:.2f}× to {high:.2f}×"
    return f"At {pair.rps:,.0f} RPS {what} is {', '.join(parts)} ({size})"


def variety(pair: Pair) -> str:
    """On how many machines, languages and so on a pair was measured, in words."""
    machines = [row.entry.machine for row in pair.rows]
    kinds = {(m.cpu_model, m.cpu_count) for m in machines}
    kernels = {m.kernel for m in machines}
    languages = {row.language for row in pair.rows}
    return (
        f"{counted(len(pair.rows), 'run')}, {counted(len(kinds), 'kind')} of machine, "
        f"{counted(len(languages), 'language')} or interpreter{'s' * (len(languages) > 1)}, "
        f"{counted(len(kernels), 'kernel')}"
    )


def charted(pair: Pair, metrics: Sequence[Metric]) -> list[Metric]:
    """Those of the metrics that any run of the pair has a ratio of."""
    return [
        m for m in metrics
        if any((r := row.ratios.get(m.path)) and r.ratio is not None for row in pair.rows)
    ]  # fmt: skip
