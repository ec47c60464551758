"""An absolute cost says in which language it was measured, and which the document's is for: the
document's code is C++, the lab's servers are Python with the GIL (point 21)."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.core.record import Interpreter, Run
from harness.store import as_json
from harness.studies.claims import judge_about
from harness.studies.claims.explore import AS_WRITTEN, nearest
from harness.studies.claims.judgement import judged
from harness.studies.claims.ledger import language_summary, measured_in, the_ledger
from harness.studies.claims.records import Beside, Explored, ExploredCondition, Figure
from harness.studies.claims.section import claims_section
from harness.terminal.claims_table import print_explored, print_judged
from harness.views.formats import block_text
from harness.views.model import Table
from tests.support.claim_trials import both, make_run

WORDS = "CPython 3.11 with the GIL"
NOTE = f"Measured in {WORDS}; the document's figure is for C++."
STEPS = [
    f"{step}-{side}"
    for step in ("read", "parse", "rate-limit", "decode", "validate", "write", "close", "work")
    for side in ("thread", "pool")
]
ENQUEUE = Figure(value=2.5, low=2.4, high=2.6, least=2.3, most=2.7, n=12)


@pytest.fixture
def run() -> Run:
    """A run as Python 3.11 with the GIL makes it, whatever runs this."""
    made = make_run(both())
    environment = msgspec.structs.replace(
        made.environment, python_version="3.11.7", gil_enabled=True
    )
    return msgspec.structs.replace(made, environment=environment)


def plain(console_width: int = 80) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=console_width, color_system=None), out


def test_every_single_step_is_bound_to_its_language_and_no_ratio_or_share_is() -> None:
    claims = {claim.id: claim for claim in the_ledger().claim}
    assert all(claims[name].language_bound for name in STEPS)
    assert all(claims[name].language_bound for name in ("thread-create", "thread-destroy"))
    for claim in claims.values():
        if claim.compares or claim.measure in ("success", "queue_depth_max", "threads_active"):
            assert not claim.language_bound, claim.id


def test_the_judgement_of_a_step_says_both_languages(run: Run) -> None:
    found = {j.claim.id: j for j in judge_about(run, Beside(enqueue_us=ENQUEUE))}
    for name in [*STEPS, "enqueue-pool"]:
        assert found[name].language == NOTE
    assert found["total-ratio"].language is None
    assert found["thread-create"].language is None  # nothing was measured


def test_the_verdicts_keep_their_words(run: Run) -> None:
    found = {j.claim.id: j for j in judge_about(run)}
    assert found["parse-pool"].verdict == "does not hold"
    assert found["rate-limit-pool"].verdict == "holds"


def test_servers_under_another_python_are_told_apart_from_what_the_lab_timed(run: Run) -> None:
    other = Interpreter(
        version="CPython 3.14.0", build="b", free_threaded_build=True, gil_enabled=False,
        packages={},
    )  # fmt: skip
    run = msgspec.structs.replace(
        run, environment=msgspec.structs.replace(run.environment, server_python=other)
    )
    found = {j.claim.id: j for j in judge_about(run, Beside(enqueue_us=ENQUEUE))}
    assert measured_in(run) == "CPython 3.14 without the GIL"
    assert "CPython 3.14 without the GIL" in (found["parse-pool"].language or "")
    assert WORDS in (found["enqueue-pool"].language or "")
    console, out = plain()
    print_judged(console, judged(run, Beside(enqueue_us=ENQUEUE)), run, None)
    told = " ".join(out.getvalue().split())
    assert f"** {NOTE}" in told
    assert "* Measured in CPython 3.14 without the GIL; the document's" in told


def test_the_count_of_what_does_not_hold_says_how_many_are_such_costs(run: Run) -> None:
    found = judge_about(run)
    failing = [j for j in found if j.verdict == "does not hold"]
    costs = [j for j in failing if j.claim.language_bound]
    said = language_summary(run, found)
    assert said is not None
    assert said.startswith(f"Of the {len(failing)} that do not hold {len(costs)} are absolute")
    assert "C++" in said
    assert WORDS in said
    assert language_summary(run, [j for j in found if j.verdict == "holds"]) is None


def test_the_terminal_marks_each_figure_and_explains_the_mark(run: Run) -> None:
    console, out = plain()
    record = judged(run, Beside())
    print_judged(console, record, run, None)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert f"* {NOTE}" in lines
    step = next(line for line in lines if "parsing HTTP, pool" in line)
    assert "µs *" in step
    ratio = next(line for line in lines if "72×" in line)
    assert "*" not in ratio
    said = language_summary(run, record.judgements)
    assert said is not None
    assert said in " ".join(out.getvalue().split())


def test_the_report_says_it_in_both_forms(run: Run) -> None:
    section = claims_section(run, None)
    assert section is not None
    assert "C++" in block_text(section.blocks[0])
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    rows = {row[0].text: row for row in table.rows}
    assert rows["parsing HTTP, pool"][3].small == NOTE
    assert rows["threads active, thread per request"][3].small == ""
    (line,) = (line for line in block_text(table).splitlines() if "parsing HTTP, pool" in line)
    assert f"does not hold ({NOTE})" in line


def test_the_record_has_the_sentence(run: Run) -> None:
    data = msgspec.json.decode(as_json(judged(run, Beside())))
    found = {j["claim"]["id"]: j for j in data["judgements"]}
    assert found["parse-pool"]["language"] == NOTE
    assert found["parse-pool"]["claim"]["language_bound"] is True


def test_a_search_for_conditions_says_it_too(run: Run) -> None:
    first = ExploredCondition(
        name=AS_WRITTEN, folder="a", invalid_trials=0, trials=10, judgements=judge_about(run)
    )
    record = Explored(
        schema=1, created="", complete=True, conditions=[first],
        nearest=nearest([first], first.judgements),
    )  # fmt: skip
    console, out = plain()
    print_explored(console, record, Path("results"))
    assert f"* {NOTE}" in out.getvalue().splitlines()
