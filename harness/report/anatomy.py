"""The request anatomy: what each step costs inside the server."""

from __future__ import annotations

from harness.charts import style
from harness.record import Run
from harness.report.comparison import from_trials, labels
from harness.report.model import Cell, Column, Missing, Paragraph, Section, Table
from harness.units import microseconds, rate

# step, and the document's microseconds for it (thread per request, pool)
STEPS = ("dispatch", "read", "parse", "rate_limit", "decode", "validate", "write", "close")


def anatomy_section(run: Run) -> Section:
    """A row a step, as the server's own stamps have it."""
    title, rps = "Anatomy of a request", style.nearest_level(run)
    names = labels(run)
    rows = []
    for step in STEPS:
        found = [from_stage(run, slot, rps, step) for slot in range(len(names))]
        if any(p50 is not None for p50, _ in found):
            rows.append(
                (
                    Cell(step.replace("_", " ")),
                    *(Cell(microseconds(p50), p50, f"mean {microseconds(mean)}")
                      for p50, mean in found),
                )
            )  # fmt: skip
    if not rows:
        words = "No valid trial at this level has stamps of its steps. They are measured by:"
        return Section("anatomy", title, (Missing(words, "labrun compare --rps 2000"),))
    words = (
        f"The steps of the request path at {rate(rps)}, stamped inside the server: median over "
        "requests, mean below; each the median over the valid rounds. Dispatch is from accept() "
        "to the first instruction of the handler. In the document: read 10, parse 1, rate limit "
        "5, decode 2, validate 1, write 10, close 5 µs."
    )
    columns = (Column("Step", numeric=False), *(Column(name) for name in names))
    table = Table(f"Steps at {rate(rps)}", columns, tuple(rows))
    return Section("anatomy", title, (Paragraph(words), table))


def from_stage(run: Run, slot: int, rps: float, step: str) -> tuple[float | None, float | None]:
    """Median over the valid trials of a step's p50 and of its mean, in microseconds."""
    path = f"server.stages_us.{step}"
    return (
        from_trials(run, slot, rps, f"{path}.p50"),
        from_trials(run, slot, rps, f"{path}.mean"),
    )
