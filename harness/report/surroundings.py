"""How far to trust a run, on what machine it was made, and how to repeat it."""

from __future__ import annotations

from shlex import quote

from harness.core.pythons import interpreters_of, python_sentences
from harness.core.record import Environment, Run
from harness.core.units import rate, share, size
from harness.core.wording import slot_names
from harness.drivers.driver import driver_of
from harness.studies.compare.aa_control import control_sentences
from harness.studies.compare.remarks import (
    block_sentences,
    bystander_sentences,
    connection_sentences,
    generator_sentences,
    outside_sentences,
)
from harness.views.model import (
    Block,
    Cell,
    Column,
    Command,
    Folded,
    Listing,
    Paragraph,
    Section,
    Table,
)


def trust_section(run: Run) -> Section:
    """Classes of trials, accounts, warnings."""
    scheduled = sum(t.client.scheduled for t in run.trials)
    accounted = sum(t.client.outcomes.total() for t in run.trials)
    counts: dict[str, int] = {}
    for t in run.trials:
        counts[t.class_] = counts.get(t.class_, 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"
    items = [
        f"Trials: {told}. A trial in which the generator was the limit is shown and never "
        "compared.",
        f"{scheduled:,} requests were scheduled and {accounted:,} have an outcome.",
    ]
    items += [f"{told}." for told in block_sentences(run)]
    items += [
        *generator_sentences(run),
        *connection_sentences(run),
        *bystander_sentences(run),
        *outside_sentences(run),
        *python_sentences(run),
    ]
    driven = driver_of(run.settings.driver).sentence(run.settings)
    if driven is not None:
        items.append(driven)
    repeated = sorted({t.round for t in run.trials if t.round > run.settings.rounds})
    if repeated and not run.settings.precision:
        items.append(
            f"Round {' and '.join(map(str, repeated))} repeats what the generator was late for."
        )
    items += [f"Warning: {warning}." for warning in run.warnings]
    if run.capacity is None and run.crossover is None:  # a search compares otherwise
        items += control_sentences(run)
    blocks: list[Block] = [Listing(tuple(items))]
    names = slot_names(run.settings)
    single = [
        f"{names[t.slot]}, {rate(t.rps)}, round {t.round}: {what}."
        for t in run.trials
        for what in [*t.warnings, *([t.invalid_reason] if t.invalid_reason else [])]
    ]
    if single:
        blocks.append(Folded(f"{len(single)} remarks on single trials", Listing(tuple(single))))
    return Section("trust", "How far to trust it", tuple(blocks))


def environment_section(run: Run) -> Section:
    """The machine, and every setting."""
    machine = Table("The machine", (Column("What", False), Column("Value", False)), _machine(run))
    chosen = tuple(
        (Cell(name.replace("_", " ")), Cell(_plain(getattr(run.settings, name))))
        for name in run.settings.__struct_fields__
    )
    settings = Table("Settings", (Column("What", False), Column("Value", False)), chosen)
    packages = Table(
        "Packages", (Column("Package", False), Column("Version", False)),
        tuple((Cell(n), Cell(v)) for n, v in sorted(run.environment.packages.items())),
    )  # fmt: skip
    blocks: list[Block] = [machine]
    if run.environment.findings:
        blocks.append(Folded("What labrun doctor says of it", _findings(run.environment)))
    blocks += [Folded("Every setting", settings), Folded("Packages", packages)]
    return Section("environment", "Environment", tuple(blocks))


def _findings(environment: Environment) -> Table:
    return Table(
        "Findings",
        tuple(Column(name, False) for name in ("What", "Judgement", "Found", "To mend it")),
        tuple(
            (Cell(f.check), Cell(f.level), Cell(f.found), Cell(f.mend or ""))
            for f in environment.findings
        ),
    )


def _machine(run: Run) -> tuple[tuple[Cell, ...], ...]:
    e = run.environment
    facts = (
        ("CPU", f"{e.cpu_model or 'unknown'}, {e.cpu_count} seen"),
        ("Server on CPU", _plain(e.server_cpus)),
        ("Generator on CPU", _plain(e.generator_cpus)),
        ("Governor", _plain(e.governor)),
        ("Virtualisation", _plain(e.virtualisation)),
        ("Memory", size(e.memory_bytes)),
        ("Kernel", e.kernel),
        ("Python", f"{e.python_version} ({e.python_build})"),
        *_server_pythons(run),
        ("Interpreter lock (GIL)", "on" if e.gil_enabled else "off"),
        ("Switch interval", f"{e.switch_interval_s:g} s"),
        ("somaxconn", _plain(e.somaxconn)),
        ("tcp_tw_reuse", _plain(e.tcp_tw_reuse)),
        ("tcp_max_syn_backlog", _plain(e.tcp_max_syn_backlog)),
        ("Port range", _plain(e.port_range)),
        ("File descriptors", f"{e.nofile_soft:,} (hard {e.nofile_hard:,})"),
        ("MALLOC_ARENA_MAX", _plain(e.malloc_arena_max)),
        ("Timer slack", _plain(e.timer_slack_ns) + " ns"),
        ("Clock", _plain(e.clock_source)),
        ("Load average at the start", _plain(e.load_average_at_start)),
        ("Git commit", _plain(e.git_commit) + (" and changes" if e.git_dirty else "")),
    )
    return tuple((Cell(name), Cell(value)) for name, value in facts)


def _server_pythons(run: Run) -> tuple[tuple[str, str], ...]:
    """The interpreters of the servers, where they were others."""
    rows: list[tuple[str, str]] = []
    for what, each, gil in interpreters_of(run):
        rows += [
            (f"Python of {what}", f"{each.version} ({each.build})"),
            (f"GIL of {what}", "on" if gil else "off"),
        ]
    return tuple(rows)


def _plain(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def repeat_section(run: Run) -> Section:
    """The exact command; and the one for a report of the same rows."""
    generator = [
        t.client.generator_cpu_share for t in run.trials if t.client.generator_cpu_share is not None
    ]
    busiest = f" The generator used up to {share(max(generator))} of its CPU." if generator else ""
    commit = run.environment.git_commit
    at = f" of commit {commit}" if commit else ""
    words = (
        f"This command{at} measured it; the seed {run.settings.seed} gives the same schedule."
        f"{busiest}"
    )
    return Section(
        "repeat",
        "Repeat it",
        (
            Paragraph(words),
            Command(run.command),
            Paragraph("This page and its Markdown come from the run's folder alone:"),
            Command(f"labrun report {quote(f'results/{run.id}')}"),
        ),
    )
