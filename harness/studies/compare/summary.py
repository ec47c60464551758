"""The sentence that a reader would quote, made from the comparisons. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from harness.core.metrics import HEADLINES, SUCCESS, shown
from harness.core.options import beside
from harness.core.record import OUTCOMES, Cell, Comparison, Run, Settings, Trial
from harness.core.trials import comparable, standard
from harness.core.units import percent, share
from harness.core.wording import effect_words, has_interval, one_side_answers, slot_names

_UNDECIDED = ("cannot-tell", "not-comparable")


def words_of(metrics: Container[str]) -> list[tuple[str, str]]:
    """Of these metrics those that a sentence is about, and what they are called: where there are
    those of a typical block, all requests are told apart from it."""
    apart = " of all requests" if "client.block_response_us.p50" in metrics else ""
    return [
        (m.path, words + apart if m.path.startswith("client.response_us.") else words)
        for words, m in shown("sentence")
        if m.path in metrics
    ]


def run_finding(run: Run) -> str:
    """What a run showed, level by level; what was chosen otherwise than usual once."""
    return " ".join(
        level_finding(run, rps, first=place == 0) for place, rps in enumerate(run.settings.rps)
    )


def level_finding(run: Run, rps: float, first: bool = True) -> str:
    """What one level of a run showed."""
    return finding(rps, run.settings, run.comparisons, run.cells, run.trials, first)


def finding(
    rps: float,
    settings: Settings,
    comparisons: Sequence[Comparison],
    cells: Sequence[Cell],
    trials: Sequence[Trial],
    first: bool = True,
) -> str:
    """What one level showed: every contender against the baseline, and what was answered. The
    `first` sentence about a run names what was chosen otherwise than usual."""
    level = [c for c in comparisons if c.rps == rps]
    head = f"At {rps:,.0f} RPS" + (beside(settings) if first else "")
    here = [t for t in trials if t.rps == rps]
    if here and not any(t.valid for t in here):
        return f"{head} nothing can be said: no trial was valid ({here[0].invalid_reason})."
    names = slot_names(settings)
    success = _success(rps, cells, trials, names)
    if not level:
        return f"{head} {success}."
    contenders = [
        _contender([c for c in level if c.slot == slot], names)
        for slot in sorted({c.slot for c in level})
    ]
    return f"{head} {'; '.join([*contenders, success])}."


def _contender(level: Sequence[Comparison], names: Sequence[str]) -> str:
    """One contender against the baseline at a level, without a full stop."""
    first = level[0]
    if first.baseline == first.contender:
        return _control(level)
    contender = names[first.slot]
    by_metric = {c.metric: c for c in level}
    decided = [
        (found, words)
        for path, words in words_of(by_metric)
        if (found := by_metric.get(path)) is not None and found.verdict not in _UNDECIDED
    ]
    if not decided:
        return _undecided(by_metric, contender, first.baseline)
    told = [effect_words(c, words) for c, words in decided if one_side_answers(c) is None]
    lone = [(c, words) for c, words in decided if one_side_answers(c) is not None]
    parts = [f"{contender} takes {', '.join(told)} of {first.baseline}"] if told else []
    for found, words in lone:
        who, other = contender, first.baseline
        if one_side_answers(found) == first.baseline:
            who, other = other, who
        place = words.removesuffix(" response time")
        parts.append(f"at {place} {who} still answers and {other} does not")
    return "; ".join(parts)


def _undecided(by_metric: Mapping[str, Comparison], contender: str, baseline: str) -> str:
    """Success apart, no figure of a sentence tells the two apart: why, by the first with a note."""
    notes = [
        found.note for path, _ in words_of(by_metric) if (found := by_metric.get(path)) is not None
    ]
    why = next(filter(None, notes), "no interval excludes 1")
    success = by_metric.get(SUCCESS)
    if success is None or success.verdict in _UNDECIDED:
        return f"no difference between {contender} and {baseline} can be told ({why})"
    often = "more" if success.verdict == "better" else "less"
    return f"{contender} succeeds {often} often than {baseline}, and no more can be told ({why})"


def _success(
    rps: float, cells: Sequence[Cell], trials: Sequence[Trial], names: Sequence[str]
) -> str:
    """What became of all requests of the trials that count, failures by name."""
    parts = []
    for cell in cells:
        if cell.rps != rps or cell.metric("client.success_rate").median is None:
            continue
        mine = [t for t in standard(trials) if (t.rps, t.slot) == (rps, cell.slot)]
        mine = [t for t in mine if comparable(t)]
        name = names[cell.slot]
        scheduled = sum(t.client.scheduled for t in mine)
        ok = sum(t.client.outcomes.ok for t in mine)
        if ok == scheduled:
            parts.append(f"{name} answers all {scheduled:,} requests")
            continue
        counts = {o: sum(getattr(t.client.outcomes, o) for t in mine) for o in OUTCOMES[1:]}
        why = ", ".join(f"{o.replace('_', ' ')} {count:,}" for o, count in counts.items() if count)
        parts.append(f"{name} answers {share(ok / scheduled)} of {scheduled:,} requests ({why})")
    if len(parts) > 2:
        parts = [", ".join(parts[:-1]), parts[-1]]
    return " and ".join(parts) or "no trial was valid"


def _control(level: Sequence[Comparison]) -> str:
    """An A/A run: how many figures differ though nothing does."""
    named = {metric.path for metric in HEADLINES}
    judged = [c for c in level if c.metric in named and has_interval(c)]
    if not judged:
        why = next((c.note for c in level if c.note), "too few rounds for an interval")
        return f"{level[0].baseline} was run against itself, and nothing can be said ({why})"
    false = [c for c in judged if c.verdict not in _UNDECIDED]
    told = (
        f"{level[0].baseline} was run against itself: {len(false)} of {len(judged)} "
        "headline figures were told apart (5 % are to be expected)"
    )
    limits = [c.ruled_out for c in judged]
    bounded = [limit for limit in limits if limit is not None]
    if len(bounded) < len(limits):
        return f"{told}; the widest interval has no end"
    return f"{told}; the widest interval still allows {percent(max(bounded))}"
