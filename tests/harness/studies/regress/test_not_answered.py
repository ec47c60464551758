"""What is not answered takes part in a check and in a history, and nothing vanishes.

Points 1, 2, 5 and 20 of the issue "No figure that flatters, no test that fails by chance", as far
as `labrun regress` and `labrun history` are concerned.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pandas as pd
import pytest

from harness.core.record import Run, Trial
from harness.stats.paired import paired_ratio, unpaired_ratio
from harness.studies.history.series import build_history, tell_steps
from harness.studies.regress import chart as verdicts
from harness.studies.regress.exports import FORMATS, run_text, verdict_text
from harness.studies.regress.sentences import interval_text, sentence, value_text
from harness.studies.regress.sides import Sample, Sides
from harness.studies.regress.thresholds import DEFAULT_MAX_LOSS, parse_thresholds
from harness.studies.regress.verdict import Check, Verdict, judge_interleaved, judge_runs
from harness.views import style
from tests.support.changed_runs import changed, rejecting, saved, scaled, side_by_side, summed_up
from tests.support.labrun import Labrun

SUCCESS, P50, P99 = "client.success_rate", "client.response_us.p50", "client.response_us.p99"
THREADS = "server.threads_peak"
DEFAULTS = parse_thresholds([], [])
INF, NAN = math.inf, math.nan


def only(*metrics: str) -> list[str]:
    """`--max-loss` options that leave these defaults alone."""
    return [f"{path}=off" for path in DEFAULT_MAX_LOSS if path not in metrics]


def longer(run: Run, times: int) -> Run:
    """The run with its rounds again and again."""
    most = max(trial.round for trial in run.trials)
    trials = [
        msgspec.structs.replace(t, round=t.round + most * again)
        for again in range(times)
        for t in run.trials
    ]
    return summed_up(run, run.id, trials)


def faster(run: Run) -> Run:
    """The new code answers in a third of the time whatever it answers."""
    for path in (P50, P99):
        run = scaled(run, run.id, path, 0.3, slot=1)
    return run


def of(verdict: Verdict, metric: str) -> Check:
    (found,) = [check for check in verdict.checks if check.metric == metric]
    return found


# ---- point 1: latency counts everybody -----------------------------------------------------------


def test_a_candidate_that_rejects_most_and_answers_the_rest_faster_fails(reference: Run) -> None:
    run = rejecting(faster(side_by_side(reference, 1.0)), "x", 0.6, slot=1)
    verdict = judge_interleaved(run, DEFAULTS)
    assert {m: of(verdict, m).outcome for m in (SUCCESS, P50, P99)} == dict.fromkeys(
        (SUCCESS, P50, P99), "fail"
    )
    assert value_text(of(verdict, P50)) == interval_text(of(verdict, P50)) == "not answered"
    assert "not answered, wholly beyond at most 1.1×" in sentence(verdict)
    mended = rejecting(side_by_side(reference, 1.0), "y", 0.6, slot=0)
    assert of(judge_interleaved(mended, DEFAULTS), P50).outcome == "pass"


def test_two_separate_runs_are_judged_by_the_same_rule(reference: Run) -> None:
    worse = rejecting(reference, "worse", 0.6, slot=1)
    checks = judge_runs(reference, worse, DEFAULTS).checks
    outcomes = {(c.metric, c.basis, c.backend): c.outcome for c in checks}
    slow = reference.settings.backends[1]
    for metric in (SUCCESS, P50, P99):
        assert outcomes[(metric, "absolute", slow)] == "fail", metric
    assert outcomes[(SUCCESS, "ratio", slow)] == "fail"
    assert all(outcomes[key] != "fail" for key in outcomes if key[2] != slow)


def test_a_floor_under_a_figure_that_is_not_answered_is_broken(reference: Run) -> None:
    thresholds = parse_thresholds(only(SUCCESS), [f"{P99}=0.001"])
    whole, run = side_by_side(reference, 1.0), rejecting(side_by_side(reference, 1.0), "x", 0.6, 1)
    (floor,) = [c for c in judge_interleaved(whole, thresholds).checks if c.basis == "value"]
    assert floor.outcome == "pass"
    (floor,) = [c for c in judge_interleaved(run, thresholds).checks if c.basis == "value"]
    assert (floor.outcome, value_text(floor)) == ("fail", "not answered")


@pytest.mark.parametrize("method", [paired_ratio, unpaired_ratio])
def test_ratios_that_are_infinite_or_nothing_stand_at_the_ends(method: Any) -> None:
    one = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09, 1.10, 1.11]
    assert method(one, [INF] * 12, 0.99).low == INF
    assert method([INF] * 12, one, 0.99).high == 0.0
    assert method(one, [0.0] * 12, 0.99).high == 0.0
    assert method([INF] * 12, [INF] * 12, 0.99) is None
    bound = method(one, [2 * v for v in one[:8]] + [INF] * 4, 0.95)
    assert bound.low > 1.5
    assert bound.high == INF
    both = method(one, [INF] * 6 + [0.0] * 6, 0.95)
    assert (math.isnan(both.value), both.low, both.high) == (True, 0.0, INF)


# ---- point 2: rounds that fail do not vanish -----------------------------------------------------


def test_six_of_twelve_rounds_without_an_answer_are_no_pass() -> None:
    old = Sample([100.0] * 12, [], [])
    new = Sample([50.0] * 6 + [INF] * 6, [], [])
    sides = Sides("pool", 100.0, P50, "interleaved", old, new)
    found = sides.ratio(0.95)
    assert found is not None
    assert found.n == 12
    assert found.high == INF
    assert sides.unanswered() == "not answered by the new side in 6 of 12 rounds"


def test_a_round_that_may_be_anything_widens_both_ends() -> None:
    old, new = [100.0 + i for i in range(12)], [200.0 + i for i in range(12)]
    for method in (paired_ratio, unpaired_ratio):
        whole = method(old, new, 0.95)
        torn = method([*old[:-1], INF], [*new[:-1], INF], 0.95)
        assert whole is not None and torn is not None  # noqa: PT018
        assert torn.n == 12
        assert whole.low is not None and torn.low is not None  # noqa: PT018
        assert whole.high is not None and torn.high is not None  # noqa: PT018
        assert torn.low <= whole.low and whole.high <= torn.high  # noqa: PT018
        mostly = method([INF] * 8 + old[8:], [INF] * 8 + new[8:], 0.95)
        assert mostly is not None
        assert (mostly.low, mostly.high) == (0.0, INF)


def test_the_notes_count_what_is_not_answered_and_what_was_left_out(reference: Run) -> None:
    run = rejecting(longer(side_by_side(reference, 1.0), 2), "x", 0.6, slot=1, rounds=4)
    late = [
        msgspec.structs.replace(
            t, valid=False, class_="generator-limited", invalid_reason="late"
        ) if t.round == 9 else t
        for t in run.trials
    ]  # fmt: skip
    verdict = judge_interleaved(msgspec.structs.replace(run, trials=late), DEFAULTS)
    notes = " | ".join(verdict.notes)
    assert "2 of 20 trials are not compared: the generator was the limit" in notes
    assert "response time p99 not answered by the new side in 4 of 9 rounds" in notes
    assert "in 4 of 9 rounds" in str(of(verdict, P50).note)
    assert of(verdict, P50).outcome == "inconclusive"


def test_why_there_is_no_ratio_is_said(reference: Run) -> None:
    neither = rejecting(side_by_side(reference, 1.0), "x", 1.0)
    verdict = judge_interleaved(neither, DEFAULTS)
    assert of(verdict, P50).note == (
        "neither side answered in any round; not answered by the old side in 5 of 5 rounds, "
        "not answered by the new side in 5 of 5 rounds"
    )
    assert of(verdict, SUCCESS).note == "neither side answered in any round"
    idle = parse_thresholds([*only(), "server.context_switches.per_request=10%"], [])
    run = scaled(side_by_side(reference, 1.0), "idle", "server.context_switches.per_request", 0.0)
    assert of(judge_interleaved(run, idle), "server.context_switches.per_request").note == (
        "both sides are 0 in every round"
    )


# ---- point 5: success has an interval ------------------------------------------------------------


def test_success_without_a_failure_is_not_certain(reference: Run) -> None:
    run = side_by_side(reference, 1.0)
    verdict = judge_interleaved(run, parse_thresholds(only(SUCCESS), [f"{SUCCESS}=0.99"]))
    loss, floor = verdict.checks
    requests = sum(t.client.scheduled for t in run.trials if t.slot == 0)
    for check in (loss, floor):
        assert check.outcome == "pass"
        assert check.estimate is not None
        assert check.estimate.value == 1.0
        assert check.estimate.low is not None
        assert 1 - 10 / requests < check.estimate.low < 1


def test_a_success_rate_that_fails_in_one_round_alone_is_no_accusation(reference: Run) -> None:
    run = rejecting(side_by_side(reference, 1.0), "x", 0.5, slot=1, rounds=1)
    check = of(judge_interleaved(run, DEFAULTS), SUCCESS)
    assert check.outcome == "inconclusive"


# ---- point 20: neither more nor fewer is better, and a limit may still be set --------------------


def test_max_loss_still_takes_a_figure_of_which_neither_more_nor_fewer_is_better(
    reference: Run,
) -> None:
    thresholds = parse_thresholds([*only(), f"{THREADS}=50%"], [])
    for factor, outcome in ((1.0, "pass"), (2.0, "fail"), (0.5, "pass")):
        run = side_by_side(reference, 1.0)
        trials = [_with_threads(t, 16 * (factor if t.slot else 1)) for t in run.trials]
        run = summed_up(run, "x", trials)
        assert judge_interleaved(run, thresholds).outcome == outcome
        said = {c.verdict for c in run.comparisons if c.metric == THREADS}
        assert said == {{1.0: "cannot-tell", 2.0: "more", 0.5: "fewer"}[factor]}


def _with_threads(trial: Trial, count: float) -> Trial:
    assert trial.server is not None
    server = msgspec.structs.replace(trial.server, threads_peak=int(count))
    return msgspec.structs.replace(trial, server=server)


# ---- pictures and formats survive ----------------------------------------------------------------


@pytest.fixture(params=["all", "four of ten", "both"])
def open_verdict(request: pytest.FixtureRequest, reference: Run) -> Verdict:
    """Verdicts with points at infinity, with one open end, and without any ratio."""
    run = longer(side_by_side(reference, 1.0), 2)
    torn = {
        "all": rejecting(run, "x", 0.6, slot=1),
        "four of ten": rejecting(run, "x", 0.6, slot=1, rounds=4),
        "both": rejecting(rejecting(run, "x", 0.6, slot=1, rounds=5), "x", 0.6, slot=0, rounds=7),
    }[request.param]
    return judge_interleaved(torn, parse_thresholds([], [f"{P50}=0.001"]))


def test_the_picture_and_every_format_of_a_verdict_survive_open_ends(
    open_verdict: Verdict, tmp_path: Path
) -> None:
    with style.styled():
        style.save(verdicts.draw(open_verdict), tmp_path, "regress")
    ET.parse(tmp_path / "regress.svg")
    for form in FORMATS:
        text = verdict_text(open_verdict, form)
        assert "inf×" not in text
        assert "nan" not in text.replace("nano", "")
        if form.startswith("benchmark"):
            json.loads(text)


def test_open_ends_are_named(reference: Run) -> None:
    run = rejecting(longer(side_by_side(reference, 1.0), 3), "x", 0.6, slot=1, rounds=8)
    check = of(judge_interleaved(run, DEFAULTS), P50)
    assert interval_text(check).startswith("at least ")
    run = rejecting(longer(side_by_side(reference, 1.0), 3), "x", 0.6, slot=0, rounds=8)
    check = of(judge_interleaved(run, DEFAULTS), P50)
    assert interval_text(check).startswith("at most ")


def test_a_runs_figures_that_are_not_answered_are_exported_as_such(reference: Run) -> None:
    run = rejecting(reference, "x", 0.6)
    frame = pd.read_csv(io.StringIO(run_text(run, "csv")))
    assert (frame[frame["metric"] == P50]["value"] == INF).all()
    assert "not answered" in run_text(run, "markdown")
    assert "+Inf" in run_text(run, "openmetrics")


# ---- history -------------------------------------------------------------------------------------


def a_history(run: Run, spoilt: range) -> list[tuple[Path, Run]]:
    """Thirty runs with a little noise, of which some reject most requests."""
    found = []
    for number in range(30):
        made = scaled(run, "x", P50, 1 + number * 7 % 5 / 100)
        if number in spoilt:
            made = rejecting(made, "x", 0.6, slot=1)
        name = f"run-{number:03}"
        made = changed(made, name, created=f"2026-01-01T00:00:{number:02}+00:00",
                       git_commit=f"{number:07x}".ljust(40, "0"))  # fmt: skip
        found.append((Path(name), made))
    return found


def test_a_history_has_a_gap_where_nothing_was_answered(
    reference: Run, labrun: Labrun, tmp_path: Path
) -> None:
    for path, run in a_history(reference, range(5, 7)):
        saved(run, tmp_path / "runs" / path)
    history = build_history(a_history(reference, range(5, 7)))
    (series,) = [
        s for s in history.series
        if s.metric.path == P50 and s.backend == reference.settings.backends[1] and not s.reference
    ]  # fmt: skip
    assert [p.place for p in series.points if math.isinf(p.value)] == [5, 6]
    assert len(series.points) == 30
    done = labrun("history", "runs", "--out", "graphs")
    assert (done.returncode, "No step" in done.stdout) == (0, True), done.stderr
    page = (tmp_path / "graphs" / "history.html").read_text(encoding="utf-8")
    assert "gone" in page
    assert "not answered" in page
    assert "inf" not in page.replace("infinite", "")
    ET.parse(tmp_path / "graphs" / "history-2000rps.svg")


def as_schema_1(run: Run) -> bytes:
    """The record as an earlier lab wrote it: the survivors' times, and nothing named beyond."""
    raw: Any = msgspec.to_builtins(run)
    raw["schema"] = 1
    for trial in raw["trials"]:
        client = trial["client"]
        for name in ("beyond", "connect_beyond", "survivors"):
            client.pop(name, None)
        for times in ("response_us", "service_us"):
            client[times] = dict.fromkeys(client[times], 100.0)
    for cell in raw["cells"]:
        cell["metrics"][P50] = {"median": 100.0, "ci_low": 90.0, "ci_high": 110.0}
    return msgspec.json.encode(raw)


def test_a_record_of_schema_1_is_read_by_the_same_rule(
    reference: Run, labrun: Labrun, tmp_path: Path
) -> None:
    for path, run in a_history(reference, range(28, 30))[26:]:
        folder = tmp_path / "runs" / path
        folder.mkdir(parents=True)
        (folder / "run.json").write_bytes(as_schema_1(run))
    assert labrun("history", "runs", "--out", "graphs").returncode == 0
    page = (tmp_path / "graphs" / "history.html").read_text(encoding="utf-8")
    assert page.count("median response time of thread-pool not answered") == 2
    done = labrun("regress", "runs/run-026", "runs/run-028")
    assert (done.returncode, "FAIL" in done.stdout) == (1, True), done.stderr
    assert "not answered" in done.stdout


def test_a_step_to_no_answer_is_a_step(reference: Run) -> None:
    told = tell_steps(build_history(a_history(reference, range(15, 30))))
    wanted = f"median response time of {reference.settings.backends[1]} at 2,000 RPS stepped to not"
    assert any(line.startswith(wanted) and "with 000000f" in line for line in told)
