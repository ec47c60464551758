"""The sentence that a reader would quote, made from the comparisons; part of a run. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import msgspec

from harness.core.metrics import HEADLINES, SUCCESS, shown
from harness.core.options import beside
from harness.core.record import OUTCOMES, Cell, Comparison, Run, Settings, Trial
from harness.core.trials import comparable, standard
from harness.core.units import percent, share
from harness.core.wording import effect_words, has_interval, listed, one_side_answers, slot_names

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
    """The result of a run, level by level; settings that differ from the defaults once."""
    return " ".join(run_sentences(run))


def run_sentences(run: Run) -> list[str]:
    """The same, sentence by sentence."""
    levels = enumerate(run.settings.rps)
    return [said for place, rps in levels for said in level_sentences(run, rps, place == 0)]


def level_finding(run: Run, rps: float) -> str:
    """The result of one level of a run."""
    return " ".join(level_sentences(run, rps))


def level_sentences(run: Run, rps: float, first: bool = True) -> list[str]:
    """The same, sentence by sentence."""
    return sentences(rps, run.settings, run.comparisons, run.cells, run.trials, first)


def sentences(
    rps: float,
    settings: Settings,
    comparisons: Sequence[Comparison],
    cells: Sequence[Cell],
    trials: Sequence[Trial],
    first: bool = True,
) -> list[str]:
    """One level's result: the contender against the baseline, and what was answered. Of several
    contenders each has a sentence of its own. The `first` sentence about a run names what was
    chosen otherwise than usual."""
    level = [c for c in comparisons if c.rps == rps]
    head = f"At {rps:,.0f} RPS" + (beside(settings) if first else "")
    here = [t for t in trials if t.rps == rps]
    if here and not any(t.valid for t in here):
        return [f"{head} nothing can be said: no trial was valid ({here[0].invalid_reason})."]
    names = slot_names(settings)
    success = _success(rps, cells, trials, names)
    told = [
        _contender([c for c in level if c.slot == slot], names)
        for slot in sorted({c.slot for c in level})
    ]
    parts = [*told, success] if len(told) > 1 else ["; ".join([*told, success])]
    plain = f"At {rps:,.0f} RPS"
    return [f"{plain if n else head} {part}." for n, part in enumerate(parts)]


def _contender(level: Sequence[Comparison], names: Sequence[str]) -> str:
    """One contender against the baseline at a level, without a full stop."""
    first = level[0]
    baseline, contender = names[0], names[first.slot]
    if first.baseline == first.contender:
        return _control(level, f"{contender}, the same as {baseline}" if len(names) > 2 else
                        f"{first.baseline} was run against itself")  # fmt: skip
    by_metric = {c.metric: c for c in level}
    decided = [
        (found, words)
        for path, words in words_of(by_metric)
        if (found := by_metric.get(path)) is not None and found.verdict not in _UNDECIDED
    ]
    if not decided:
        return _undecided(by_metric, contender, baseline)
    told = [effect_words(c, words) for c, words in decided if one_side_answers(c) is None]
    lone = [(c, words) for c, words in decided if one_side_answers(c) is not None]
    parts = [f"{contender} takes {', '.join(told)} of {baseline}"] if told else []
    for found, words in lone:
        who, other = contender, baseline
        if one_side_answers(found) == "baseline":
            who, other = other, who
        place = words.removesuffix(" response time")
        parts.append(f"at {place} {who} still answers and {other} does not")
    return "; ".join(parts)


def _undecided(by_metric: Mapping[str, Comparison], contender: str, baseline: str) -> str:
    """Success apart, no figure of a sentence tells the two apart: why, by the first with a note."""
    notes = [
        f"no interval excludes 1; {found.note}" if has_interval(found) else found.note
        for path, _ in words_of(by_metric)
        if (found := by_metric.get(path)) is not None and found.note is not None
    ]
    why = next(iter(notes), "no interval excludes 1")
    success = by_metric.get(SUCCESS)
    if success is None or success.verdict in _UNDECIDED:
        return f"no difference between {contender} and {baseline} can be told ({why})"
    often = "more" if success.verdict == "better" else "less"
    return f"{contender} succeeds {often} often than {baseline}, and no more can be told ({why})"


def _success(
    rps: float, cells: Sequence[Cell], trials: Sequence[Trial], names: Sequence[str]
) -> str:
    """Outcomes of all requests of the trials that count, failures by name."""
    told: dict[str, list[str]] = {}  # what became of them -> of whom that is so
    for cell in cells:
        if cell.rps != rps or cell.metric("client.success_rate").median is None:
            continue
        mine = [t for t in standard(trials) if (t.rps, t.slot) == (rps, cell.slot)]
        mine = [t for t in mine if comparable(t)]
        name = names[cell.slot]
        scheduled = sum(t.client.scheduled for t in mine)
        ok = sum(t.client.outcomes.ok for t in mine)
        if ok == scheduled:
            told.setdefault(f"answers all {scheduled:,} requests", []).append(name)
            continue
        counts = {o: sum(getattr(t.client.outcomes, o) for t in mine) for o in OUTCOMES[1:]}
        why = ", ".join(f"{o.replace('_', ' ')} {count:,}" for o, count in counts.items() if count)
        words = f"answers {share(ok / scheduled)} of {scheduled:,} requests ({why})"
        told.setdefault(words, []).append(name)
    if len(names) < 3:
        return listed([f"{name} {words}" for words, who in told.items() for name in who])
    parts = [
        f"{listed(who)} {words if len(who) == 1 else words.replace('answers', 'each answer')}"
        for words, who in told.items()
    ]
    return "; ".join(parts) or "no trial was valid"


def _control(level: Sequence[Comparison], head: str) -> str:
    """An A/A run: how many figures differ though nothing does."""
    named = {metric.path for metric in HEADLINES}
    judged = [c for c in level if c.metric in named and has_interval(c)]
    if not judged:
        why = next((c.note for c in level if c.note), "too few rounds for an interval")
        return f"{head}, and nothing can be said ({why})"
    false = [c for c in judged if c.verdict not in _UNDECIDED]
    told = (
        f"{head}: {len(false)} of {len(judged)} headline figures were told apart (5 % are to be "
        "expected)"
    )
    limits = [c.ruled_out for c in judged]
    bounded = [limit for limit in limits if limit is not None]
    if len(bounded) < len(limits):
        return f"{told}; the widest interval has no end"
    return f"{told}; the widest interval still allows {percent(max(bounded))}"


def only(run: Run, rps: float) -> Run:
    """The run as if it had one level."""
    return msgspec.structs.replace(
        run,
        settings=msgspec.structs.replace(run.settings, rps=[rps]),
        trials=[t for t in run.trials if t.rps == rps],
        cells=[c for c in run.cells if c.rps == rps],
        comparisons=[c for c in run.comparisons if c.rps == rps],
        finding=level_finding(run, rps),
    )
