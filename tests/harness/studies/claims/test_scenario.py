"""Claims are judged only by runs that they are about: a run under other conditions than the
document's leaves them out (point 16e)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.core.errors import LabError
from harness.core.options import SERVED
from harness.core.record import Crossover, Run, Settings, Source
from harness.studies.claims import judge_about, judge_run
from harness.studies.claims.explore import conditions
from harness.studies.claims.judgement import judged
from harness.studies.claims.ledger import check_about, departures, remarks, the_ledger
from harness.studies.claims.records import Beside
from harness.studies.claims.section import claims_section
from tests.support.claim_trials import POOL, SETTINGS, THREAD, both, make_run, make_trial

PLUGIN = "my.module:Pool"
OTHERWISE: list[tuple[dict[str, Any], str]] = [
    ({"workers": 32}, "32 workers, not 16"),
    ({"clients": 1000}, "1,000 clients, not 100"),
    ({"queue_size": 100}, "a queue of 100, not 10,000"),
    ({"workload": "io:40ms"}, "handlers with io:40ms of work besides"),
    ({"driver": "closed-loop"}, "the closed-loop driver"),
    ({"driver": "locust"}, "the locust driver"),
    ({"timeout_s": 0.25}, "a timeout of 0.25 s, not 1 s"),
    ({"stack_size_bytes": 512 << 10}, "stacks of 0.5 MiB, not 2"),
    ({"lock_stacks": True}, "stacks locked in memory"),
    ({"backlog": 16}, "a backlog of 16, not 4,096"),
    ({"max_threads": 64}, "at most 64 threads"),
    ({"switch_interval_s": 0.0001}, "a switch interval of 0.0001 s"),
    ({"target": "10.0.0.2:80"}, "a server on another machine (10.0.0.2:80)"),
    ({"backends": [THREAD, PLUGIN]}, f"other backends ({PLUGIN})"),
    ({"backends": [THREAD, POOL, PLUGIN]}, f"other backends ({PLUGIN})"),
    ({"backends": [POOL, POOL]}, "a backend against itself"),
]


@pytest.mark.parametrize(("changes", "words"), OTHERWISE, ids=lambda value: str(value)[:40])
def test_a_run_under_other_conditions_judges_no_claim(changes: dict[str, Any], words: str) -> None:
    run = make_run(both(), **changes)
    assert departures(run) == [words]
    assert judge_about(run) == []
    assert claims_section(run, None) is None
    record = judged(run, Beside())
    assert (record.departures, record.judgements) == ([words], [])
    with pytest.raises(LabError) as caught:
        check_about(run)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runs_of_another_commit_and_searches_that_vary_conditions_judge_none() -> None:
    run = make_run(both())
    old = Source(slot=0, label="HEAD~1", commit="0" * 40, dirty=False)
    search = Crossover(
        vary="io", baseline=THREAD, contender=POOL, rule="r", prediction="p", cells=[], line=[]
    )
    for other in (
        msgspec.structs.replace(run, sources=[old]),
        msgspec.structs.replace(run, crossover=search),
    ):
        assert len(departures(other)) == 1
        assert claims_section(other, None) is None


def test_a_run_in_the_documents_conditions_judges_every_claim() -> None:
    run = make_run(both())
    assert departures(run) == []
    check_about(run)
    assert [j.claim for j in judge_about(run)] == the_ledger().claim
    assert claims_section(run, None) is not None


def test_a_run_of_one_backend_judges_the_claims_on_that_one_alone() -> None:
    trials = [make_trial(backend=POOL, number=number) for number in range(1, 6)]
    found = judge_about(make_run(trials, backends=[POOL]))
    assert {j.claim.backend for j in found} == {POOL, None}
    assert not any(j.claim.ratio for j in found)
    assert {"success-2000-pool", "thread-create"} <= {j.claim.id for j in found}


@pytest.mark.parametrize(
    "changes",
    [{"rps": [500.0]}, {"rounds": 12}, {"duration_s": 9.0}, {"seed": 5}, {"arrivals": "constant"},
     {"python": "/opt/python3.14t"}],
    ids=str,
)  # fmt: skip
def test_what_the_document_says_nothing_of_may_be_anything(changes: dict[str, Any]) -> None:
    assert departures(make_run(both(), **changes)) == []


def test_one_cpu_for_all_is_remarked_and_no_departure() -> None:
    run = make_run(both())
    alone = msgspec.structs.replace(run.environment, server_cpus=None)
    run = msgspec.structs.replace(run, environment=alone)
    assert departures(run) == []
    assert remarks(run) == ["server and generator on one CPU"]
    assert judged(run, Beside()).remarks == remarks(run)


def test_every_setting_is_either_the_scenarios_or_declared_to_be_free() -> None:
    ledger = the_ledger()
    decided = [given.setting for given in ledger.scenario] + ledger.free + ["backends"]
    assert len(decided) == len(set(decided))
    assert set(decided) <= set(Settings.__struct_fields__) <= {*decided, *SERVED}


def test_a_search_for_conditions_judges_every_claim_under_each() -> None:
    base = msgspec.convert(SETTINGS, Settings)
    for condition in conditions(base):
        run: Run = msgspec.structs.replace(make_run(both()), settings=condition.settings)
        assert [j.claim for j in judge_run(run)] == the_ledger().claim
