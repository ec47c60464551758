"""The capacity of each backend, beside a comparison."""

from __future__ import annotations

from functools import partial

from harness.core.record import CapacityEstimate, CapacityRatio, Run
from harness.core.units import number
from harness.core.units import ratio as plain_ratio
from harness.studies.capacity import chart as capacity_chart
from harness.studies.compare.section import labels
from harness.views.model import Block, Cell, Column, Missing, Paragraph, Section, Table
from harness.views.svg import chart


def capacity_section(found: Run | None) -> Section:
    """The report's section on capacity, of a run of `labrun capacity`."""
    if found is None or found.capacity is None:
        words = "The highest rate that each backend can take was not measured in this run."
        return Section("capacity", "Capacity", (Missing(words, "labrun capacity"),))
    capacity = found.capacity
    words = (
        f"The highest rate that meets the objective ({capacity.objective}), by a search. "
        "Ranges are 95 % intervals; a bound says that the search reached no further."
    )
    blocks: list[Block] = [Paragraph(words)]
    blocks.append(Paragraph(f"Measured by: {found.command} ({found.id})."))
    names = labels(found)
    rows = tuple(_estimate(names[e.slot], e) for e in capacity.estimates)
    columns = (Column("Backend", numeric=False), Column("Capacity, RPS"),
               Column("Trials that met it"), Column("that missed"), Column("invalid"))  # fmt: skip
    blocks.append(chart("capacity-chart", partial(capacity_chart.draw, found)))
    blocks.append(Table("Capacity", columns, rows))
    if capacity.ratios:
        heads = (Column("Contender", numeric=False), Column("Ratio to the baseline"))
        blocks.append(Table("Compared", heads, tuple(_ratio(r) for r in capacity.ratios)))
    return Section("capacity", "Capacity", tuple(blocks))


def _estimate(name: str, e: CapacityEstimate) -> tuple[Cell, ...]:
    low, high = number(e.low_rps), number(e.high_rps)
    text, small = {
        "interval": (number(e.rps), f"{low} to {high}"),
        "at-least": (f"at least {low}", ""),
        "at-most": (f"at most {high}", ""),
        "unknown": ("-", ""),
    }[e.bound]
    why = small or e.why or ""  # an interval has no reason not to be one
    counts = (Cell(str(n), n) for n in (e.met, e.missed, e.invalid))
    return (Cell(name), Cell(text, e.rps or e.low_rps or e.high_rps, why), *counts)


def _ratio(found: CapacityRatio) -> tuple[Cell, ...]:
    name = f"{found.contender} to {found.baseline}"
    if found.ratio is None or found.ci_low is None or found.ci_high is None:
        ends = [
            f"{words} {plain_ratio(end)}×"
            for words, end in (("at least", found.ci_low), ("at most", found.ci_high))
            if end is not None
        ]
        return Cell(name), Cell(" and ".join(ends) or "-", small=found.why or "")
    small = f"{plain_ratio(found.ci_low)} to {plain_ratio(found.ci_high)}"
    return Cell(name), Cell(f"{plain_ratio(found.ratio)}×", found.ratio, small)
