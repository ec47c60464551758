"""The verdict on a claim. Pure.

A claim allows a range of figures R, in its unit:

========  =====================================================================================
about v   from v / 1.25 to v x 1.25; of a share, the odds v / (1 - v) within the factor 1.25
          (50 %: 44.4 to 55.6 %; 98.5 %: 98.1 to 98.8 %). 1.25 is the tolerance of every claim:
          the document rounds its figures, and `~` stands before many of them
between   from low to high, as the document gives them
at-least  v and above ("20,000+")        at-most   v and below
more      above 1: a comparison to which the document gives no size
========  =====================================================================================

Ours is a figure with its 95 % interval I. Where every load tried was met (bound `at-least`), I
has no upper end. Verdicts:

holds              I and R have figures in common, and I says something: it lies inside R, or its
                   ends are no further apart than a factor 3 (shares: of the odds). For `more`, I
                   must lie above 1 (if it includes 1 but not 1.25, the claim does not hold)
direction holds    only for a claim that compares (a ratio, "n x"): R is ruled out, and I lies on
                   the claimed side of 1: same sign, other size
does not hold      R is ruled out otherwise
not testable here  there is no figure (the reason says why), or I and R have figures in common but
                   I is too wide to say something, or for `more` includes 1

A time that lies among the failures is infinite, slower than any answer, and takes part in I as such
(`harness.stats.intervals`): never the survivors' figure.

With too few rounds for an interval, their range stands in for I, and decides only what is plain:
it lies inside R: holds. Widened by a factor 2 at both ends (shares: of the odds; a disturbed round
on a shared machine is off by that much) it still does not meet R: R is ruled out, the direction
being told by the widened range too. Anything else is not testable here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from harness.core.record import Run, ThreadCosts
from harness.studies.claims.estimators import MEASURES, Evidence, Missing
from harness.studies.claims.ledger import about, departures, language_note, the_ledger
from harness.studies.claims.records import (
    Beside,
    Claim,
    ClaimVerdict,
    Figure,
    Judgement,
    document_words,
    figure_words,
    unanswered_words,
)

TOLERANCE = 1.25
WIDEST = 3.0
MARGIN = 2.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Span:
    """From low to high, in the claim's unit; high may be infinite."""

    low: float
    high: float

    def meets(self, other: Span) -> bool:
        """Whether the two have a figure in common."""
        slack = 1 + _ROUNDING
        return self.low <= other.high * slack and other.low <= self.high * slack

    def inside(self, other: Span) -> bool:
        """Whether every figure of it belongs to the other."""
        slack = 1 + _ROUNDING
        return other.low <= self.low * slack and self.high <= other.high * slack


def allowed(claim: Claim) -> Span:
    """The range R of figures that a claim allows."""
    if claim.low is not None and claim.high is not None:
        return Span(claim.low, claim.high)
    if claim.value is None:
        return Span(math.nextafter(1.0, 2.0), math.inf)
    if claim.kind == "about":
        return widened(Span(claim.value, claim.value), TOLERANCE, share=claim.unit == "share")
    return Span(0.0, claim.value) if claim.kind == "at-most" else Span(claim.value, math.inf)


def widened(span: Span, factor: float, share: bool) -> Span:
    """Both ends moved outwards by a factor; of the odds where they are shares."""
    if not share:
        return Span(span.low / factor, span.high * factor)
    return Span(from_odds(odds(span.low) / factor), from_odds(odds(span.high) * factor))


def odds(share: float) -> float:
    """share / (1 - share); infinite for 1."""
    return share / (1 - share) if share < 1 else math.inf


def from_odds(value: float) -> float:
    """The share of some odds."""
    return value / (1 + value) if value < math.inf else 1.0


def spread(span: Span, share: bool) -> float:
    """How far apart the ends are, as a factor (shares: of the odds). 1 for a point."""
    low, high = (odds(span.low), odds(span.high)) if share else (span.low, span.high)
    if low == high:
        return 1.0
    return high / low if low > 0 else math.inf


def verdict_on(claim: Claim, figure: Figure) -> tuple[ClaimVerdict, str]:
    """The verdict, and the sentence that says what it rests on."""
    low, high = figure.end("low"), figure.end("high")
    if low is None or high is None:
        return _without_interval(claim, figure)
    ours = Span(low, math.inf if figure.bound == "at-least" else high)
    region, share = allowed(claim), claim.unit == "share"
    if claim.kind == "more":
        return _more(ours)
    if not ours.meets(region):
        return _ruled_out(claim, ours)
    if ours.inside(region):
        return "holds", "Our interval lies inside what the claim allows."
    if figure.bound == "at-least":
        return "not testable here", (
            "Every load that was tried was answered, so the limit lies higher; try higher levels."
        )
    if spread(ours, share) <= WIDEST:
        return "holds", "Our interval meets what the claim allows."
    return "not testable here", (
        "Our interval meets what the claim allows but is too wide to say so; take more rounds."
    )


def _more(ours: Span) -> tuple[ClaimVerdict, str]:
    if ours.low > 1 + _ROUNDING:
        return "holds", "Our interval lies above 1."
    if ours.high < 1 - _ROUNDING:
        return "does not hold", "It is the other way round."
    if ours.high <= TOLERANCE:
        return "does not hold", f"More than {TOLERANCE - 1:.0%} above 1 is ruled out."
    return "not testable here", "Our interval includes 1: no difference can be told."


def _ruled_out(claim: Claim, ours: Span) -> tuple[ClaimVerdict, str]:
    region = allowed(claim)
    if claim.compares and region.low > 1 and ours.low > 1:
        return "direction holds", "Same direction, another size."
    if claim.compares and ours.meets(Span(1.0, 1.0)):
        return "does not hold", "The claimed size is ruled out, and no direction can be told."
    if claim.compares and region.low > 1:
        return "does not hold", "It is the other way round."
    side = "below" if ours.high < region.low else "above"
    return "does not hold", f"Our interval lies {side} what the claim allows."


def _without_interval(claim: Claim, figure: Figure) -> tuple[ClaimVerdict, str]:
    few = f"{figure.n} round{'s are' if figure.n > 1 else ' is'} too few for an interval"
    share, region = claim.unit == "share", allowed(claim)
    least, most = figure.end("least"), figure.end("most")
    assert least is not None
    assert most is not None
    seen = Span(least, most)
    if figure.bound == "at-least":
        seen = Span(seen.low, math.inf)
    if seen.inside(region) and claim.kind != "more":
        return "holds", f"Every round agrees; {few}."
    wide = widened(seen, MARGIN, share)
    if not wide.meets(region):
        if not (claim.compares and region.low > 1 and wide.meets(Span(1.0, 1.0))):
            verdict, reason = _ruled_out(claim, wide)
            return verdict, f"{reason[:-1]}, by more than a factor {MARGIN:g}; {few}."
        return "not testable here", (
            f"The claimed size is ruled out, but {few} that could tell the direction."
        )
    return "not testable here", f"{few[0].upper()}{few[1:]}, and the figure is near the claim's."


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """One claim."""
    measure = MEASURES[claim.measure]
    figure = measure.figure(evidence, claim)
    if isinstance(figure, Missing):
        return Judgement(
            claim=claim,
            measured=None,
            verdict="not testable here",
            reason=f"{figure.reason[0].upper()}{figure.reason[1:]}.",
            document=document_words(claim),
            ours="-",
        )
    verdict, reason = verdict_on(claim, figure)
    return Judgement(
        claim=claim,
        measured=figure,
        verdict=verdict,
        reason=" ".join([reason, *unanswered_words(figure)]),
        document=document_words(claim),
        ours=figure_words(figure, claim.unit),
        language=(
            language_note(evidence.run, by_server=measure.takes != "nothing")
            if claim.language_bound
            else None
        ),
    )


def judge_about(run: Run, beside: Beside | None = None) -> list[Judgement]:
    """The claims that are about a run, judged by it: none where it departs from the scenario."""
    if departures(run):
        return []
    return [j for j in judge_run(run, beside=beside) if about(j.claim, run)]


def judge_run(
    run: Run, thread_costs: ThreadCosts | None = None, beside: Beside | None = None
) -> list[Judgement]:
    """Every claim of the ledger, judged by a run, whatever its conditions, and by what was measured
    beside it: for a search for conditions. What a run itself says is `judge_about`.

    `thread_costs` alone is enough where nothing else was measured; it goes before `beside`'s.
    """
    beside = Beside() if beside is None else beside
    if thread_costs is not None:
        beside = msgspec.structs.replace(beside, thread_costs=thread_costs)
    evidence = Evidence(run, beside)
    return [judge(claim, evidence) for claim in the_ledger().claim]
