"""A run of servers in C++ is judged by the same claims, beside those in Python."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.core.record import Run
from harness.reading.runs import NATIVE_RUN, native_of
from harness.studies.claims.judge import judge_about, judge_run
from harness.studies.claims.judgement import (
    InCpp,
    in_cpp,
    judge_condition,
    judge_in_cpp,
    judged,
    languages_compared,
    save_judged,
)
from harness.studies.claims.ledger import check_about, departures, the_ledger
from harness.studies.claims.records import Beside
from harness.studies.claims.section import claims_section
from harness.terminal.claims_table import print_judged
from harness.views.model import Table
from tests.support.claim_trials import POOL, THREAD, both, make_run, make_trial

NATIVE = [f"native-{THREAD}", f"native-{POOL}"]


def in_four_arms() -> Run:
    """One run with both languages: reading takes 10 µs in C++, 40 µs in Python."""
    trials = [
        make_trial(backend=name, slot=slot, number=number, steps_us=40.0 if slot < 2 else 10.0)
        for number in range(1, 7)
        for slot, name in enumerate([THREAD, POOL, *NATIVE])
    ]
    return make_run(trials, backends=[THREAD, POOL, *NATIVE])


def test_each_claim_is_judged_in_both_languages_by_one_run() -> None:
    run = in_four_arms()
    python = {j.claim.id: j for j in judge_about(run)}
    cpp = {j.claim.id: j for j in judge_in_cpp(InCpp(run, Beside()))}
    assert list(python) == list(cpp) == [claim.id for claim in the_ledger().claim]
    assert (python["read-pool"].ours, cpp["read-pool"].ours) != (cpp["read-pool"].ours,) * 2
    assert python["read-pool"].verdict == "does not hold"
    assert cpp["read-pool"].verdict == "holds"
    assert python["read-pool"].language is not None
    assert cpp["read-pool"].language is None  # both figures are of one language
    assert cpp["thread-create"].reason.startswith("The cost of a thread was not measured")


def test_a_run_in_python_is_judged_as_ever_and_one_in_cpp_alone_is_no_run_for_the_claims() -> None:
    assert in_cpp(make_run(both())) is None
    assert judge_in_cpp(None) == []
    alone = make_run([], backends=NATIVE)
    assert departures(alone) == [f"other backends ({', '.join(NATIVE)})"]
    inside = in_cpp(alone)
    assert inside is not None
    check_about(inside)


def test_servers_in_cpp_under_other_conditions_are_not_judged_but_explored() -> None:
    run = make_run(
        [make_trial(backend=name, slot=slot) for slot, name in enumerate(NATIVE)],
        backends=NATIVE, lock_stacks=True,
    )  # fmt: skip
    assert judge_in_cpp(InCpp(run, Beside())) == []
    explored = {j.claim.id: j for j in judge_condition(run, Beside())}
    assert explored["read-pool"].measured is not None
    python = make_run(both())
    assert judge_condition(python, Beside()) == judge_run(python)


@pytest.fixture
def shown() -> str:
    run = in_four_arms()
    out = StringIO()
    console = Console(file=out, width=80, color_system=None)
    print_judged(console, judged(run, Beside(), InCpp(run, Beside())), run, None)
    return out.getvalue()


def test_the_table_has_a_column_for_each_language_and_the_summary_says_what_holds_where(
    shown: str,
) -> None:
    words = " ".join(shown.split())
    assert "document Python C++" in words
    assert max(map(len, shown.splitlines())) <= 80
    assert "that both can test" in words
    assert "hold there" in words  # of the absolute costs
    assert "was not measured." not in words.partition("absolute costs")[2]
    run = in_four_arms()
    said = languages_compared(judge_about(run), judge_in_cpp(InCpp(run, Beside())))
    assert said is not None
    assert said in words
    assert languages_compared(judge_about(run), []) is None


def test_the_report_has_both_languages_too() -> None:
    run = in_four_arms()
    section = claims_section(run, None, InCpp(run, Beside()))
    assert section is not None
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert [c.title for c in table.columns][2:] == ["Python", "Verdict", "C++", "Verdict in C++"]
    assert all(len(row) == 6 for row in table.rows)


def test_a_run_in_the_folder_native_belongs_to_the_run(tmp_path: Path) -> None:
    python = make_run(both())
    assert native_of(tmp_path, python) is None
    run = make_run(
        [make_trial(backend=name, slot=slot) for slot, name in enumerate(NATIVE)], backends=NATIVE
    )
    inside = tmp_path / NATIVE_RUN
    inside.mkdir()
    (inside / "run.json").write_bytes(msgspec.json.encode(run))
    save_judged(inside, judged(run, Beside(missing={"thread_costs": "for a reason"})))
    found = native_of(tmp_path, python)
    assert found is not None
    cpp = {j.claim.id: j for j in judge_in_cpp(found)}
    assert cpp["read-pool"].measured is not None
    assert cpp["thread-create"].reason == "For a reason."
