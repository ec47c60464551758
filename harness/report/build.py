"""From a run to its report: which section says what."""

from __future__ import annotations

from harness.core.options import conditions
from harness.core.record import Run, Settings
from harness.core.trials import run_design
from harness.core.units import rate
from harness.core.wording import design_words, listed
from harness.designs.stopping import ratio_confidence_words
from harness.report import from_rows, surroundings
from harness.report.search_section import search_report
from harness.report.source import Source
from harness.studies.anatomy.section import anatomy_section
from harness.studies.capacity.section import capacity_section
from harness.studies.claims.section import claims_section, ladder_section
from harness.studies.compare.section import labels, level_tables, trials_table
from harness.studies.compare.summary import level_sentences
from harness.views import style
from harness.views.model import Block, Folded, Paragraph, Report, Section


def build(source: Source) -> Report:
    """The report of a run, awkward ones too: a section without data says so."""
    run = source.run
    if run.capacity is not None or run.crossover is not None:
        return search_report(run, _warning(run))
    main = style.nearest_level(run)
    judged = claims_section(run, source.beside, source.native)
    return Report(
        title=f"MetricStream lab: {run.id}",
        finding=_findings(run, main),
        warning=_warning(run),
        facts=_facts(run),
        sections=(
            _comparison(run, main),
            ladder_section(run),
            anatomy_section(run, source.anatomy),
            from_rows.storm_section(source),
            from_rows.latency_section(source),
            from_rows.waterfall_section(source),
            capacity_section(source.capacity),
            *(() if judged is None else (judged,)),
            surroundings.trust_section(run),
            surroundings.environment_section(run),
            surroundings.repeat_section(run),
        ),
    )


def _findings(run: Run, main: float) -> tuple[str, ...]:
    """A sentence a level: that of the main level first. Of several contenders each has its own,
    below a line that names them."""
    if not run.trials:
        return ("Nothing can be said: no trial was finished.",)
    levels = [main, *(rps for rps in run.settings.rps if rps != main)]
    told = [sentence for rps in levels for sentence in level_sentences(run, rps, rps == main)]
    baseline, *contenders = labels(run)
    if len(contenders) > 1:
        told = [f"At {rate(main)}: {listed(contenders)} against {baseline}", *told]
    return tuple(told)


def _warning(run: Run) -> str:
    said = []
    if not run.complete:
        said.append(f"This run is PARTIAL: {run.incomplete_reason or 'it did not end'}.")
    invalid = sum(not t.valid for t in run.trials)
    if run.trials and invalid == len(run.trials):
        said.append("No trial was valid, so nothing is compared.")
    if run.trials and not any(t.client.outcomes.ok for t in run.trials):
        said.append("No request succeeded, so there are no response times.")
    if len(run.settings.backends) < 2:
        said.append("One backend was run, so nothing is compared.")
    return " ".join(said)


def _facts(run: Run) -> str:
    settings = run.settings
    scheduled = sum(t.client.scheduled for t in run.trials)
    levels = ", ".join(style.level_label(rps) for rps in settings.rps)
    return (
        f"{run.created.replace('T', ' ')}. {levels} RPS; "
        f"{design_words(settings, run_design(run))}; {', '.join(conditions(settings))}; "
        f"{len(run.trials)} trials, {scheduled:,} requests. Medians over the valid rounds; ranges "
        f"are 95 % intervals{_of_ratios(settings)}."
    )


def _of_ratios(settings: Settings) -> str:
    """The level of ratios' intervals, where it is another than that of figures."""
    if not settings.precision:
        return ""
    return f", of ratios {ratio_confidence_words(settings)} at each look, so 95 % over all"


def _within(run: Run) -> str:
    """The pairing of ratios, in words: rounds, or pairs of blocks at levels that were in blocks."""
    if not any(trial.blocks for trial in run.trials):
        return "within rounds"
    if all(trial.blocks for trial in run.trials):
        return "in pairs of blocks"
    return "in pairs of blocks, or within rounds at a level that was measured in whole trials"


def _comparison(run: Run, main: float) -> Section:
    blocks: list[Block] = []
    if not run.trials:
        return Section("comparison", "Comparison", (Paragraph("No trial was finished."),))
    blocks.append(
        Paragraph(
            f"Ratios are to the first backend, taken {_within(run)}. A difference is told only "
            "where its interval excludes 1."
            if len(run.settings.backends) > 1
            else "One backend was run, so there are no ratios."
        )
    )
    blocks += level_tables(run, main)
    for rps in run.settings.rps:
        if rps != main:
            tables = level_tables(run, rps)
            many = len(tables) > 1
            blocks += [Folded(t.caption if many else f"The same at {rate(rps)}", t) for t in tables]
    blocks.append(Folded("Every trial", trials_table(run)))
    return Section("comparison", "Comparison", tuple(blocks))
