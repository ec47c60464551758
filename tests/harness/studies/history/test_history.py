from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from harness.core.errors import LabError
from harness.core.metrics import BLOCK_P99
from harness.core.record import Crossover, Run
from harness.studies.history.series import build_history, tell_steps
from tests.support.blocks import with_and_without_other_work
from tests.support.changed_runs import assert_one_sentence, changed, saved, scaled
from tests.support.labrun import Labrun

CPU = "server.cpu_us_per_request.total"


def a_history(run: Run, length: int, step_at: int | None = None) -> list[tuple[Path, Run]]:
    """Runs of as many commits; from `step_at` on the pool takes twice the CPU."""
    found = []
    for number in range(length):
        factor = (1 + number % 5 / 100) * (2 if step_at is not None and number >= step_at else 1)
        made = scaled(run, f"run-{number:03}", CPU, factor, slot=1)
        made = changed(
            made,
            made.id,
            git_commit=f"{number:07x}".ljust(40, "0"),
            created=f"2026-01-01T00:{number // 60:02}:{number % 60:02}+00:00",
        )
        found.append((Path(made.id), made))
    return found


def test_a_step_is_put_down_to_its_commit(reference: Run) -> None:
    told = tell_steps(build_history(a_history(reference, 20, step_at=12)))
    assert told
    assert all("with 000000c" in sentence for sentence in told)
    assert all("thread-pool" in sentence and "CPU per request" in sentence for sentence in told)


def test_no_step_where_there_is_none(reference: Run) -> None:
    history = build_history(a_history(reference, 20))
    assert tell_steps(history) == []
    assert history.notes == ()


def noisy(run: Run, rng: np.random.Generator, drift: float = 0.0) -> Run:
    """The run with every figure a little different, and longer by a share."""

    def vary(value: float | None) -> float | None:
        return None if value is None else value * (1 + drift) * float(rng.lognormal(0, 0.05))

    cells = [
        msgspec.structs.replace(
            cell,
            metrics={
                path: msgspec.structs.replace(figure, median=vary(figure.median))
                for path, figure in cell.metrics.items()
            },
        )
        for cell in run.cells
    ]
    comparisons = [msgspec.structs.replace(c, ratio=vary(c.ratio)) for c in run.comparisons]
    return msgspec.structs.replace(run, cells=cells, comparisons=comparisons)


def test_steps_are_looked_for_over_the_whole_page(reference: Run) -> None:
    # Point 18: of pages of 18 series of pure noise, each tested at 1 %, one in six showed a step.
    rng = np.random.default_rng(1)
    shown, found = 0, a_history(reference, 16)
    for _ in range(40):
        history = build_history([(path, noisy(run, rng)) for path, run in found])
        assert len(history.series) == 18
        shown += bool(tell_steps(history))
    assert shown <= 1


def test_a_drift_is_named_and_is_no_step(reference: Run) -> None:
    rng = np.random.default_rng(1)
    found = a_history(reference, 40)
    runs = [(path, noisy(run, rng, drift=i / 40)) for i, (path, run) in enumerate(found)]
    history = build_history(runs)
    assert tell_steps(history) == []
    assert "18 series drift, with no step that stands out: success rate" in history.notes[0]


def test_another_machine_is_marked_and_its_absolute_step_is_none(reference: Run) -> None:
    found = a_history(reference, 12)
    found += [
        (path, changed(scaled(run, f"m-{run.id}", CPU, 3.0), f"m-{run.id}", kernel="9.9",
                       created=run.created.replace("2026", "2027")))
        for path, run in a_history(reference, 12)
    ]  # fmt: skip
    history = build_history(found)
    assert [place for place, _ in history.machines] == [0, 12]
    assert "'9.9'" in history.machines[1][1]
    assert tell_steps(history) == []  # three times the CPU, but on another machine, and on both


def test_runs_that_do_not_belong_are_left_out_and_said(reference: Run) -> None:
    found = a_history(reference, 3)
    found.append((Path("w"), changed(reference, "other", workers=7)))
    found.append((Path("p"), changed(reference, "cut", complete=False)))
    history = build_history(found, ["x is no whole run.json"])
    assert len(history.runs) == 3
    notes = " ".join(history.notes)
    for words in ("x is no whole", "partial runs", "cut", "workers is 16", "too few"):
        assert words in notes


def test_ratios_of_runs_with_several_looks_are_said_to_have_wider_intervals(
    reference: Run,
) -> None:
    found = a_history(reference, 3)
    asked = changed(found[-1][1], "asked", precision={"cpu": 0.02})
    notes = build_history([*found[:-1], (Path("a"), asked)]).notes
    assert "bars of ratios of 1 run with --precision are 99 % intervals" in notes


def test_a_new_design_begins_a_new_series(reference: Run) -> None:
    found = a_history(reference, 5)
    path, newest = found[-1]
    in_blocks = changed(newest, newest.id, design="blocks", block_s=0.5, duration_s=3.5, rounds=8)
    history = build_history([*found[:-1], (path, in_blocks)])
    assert history.runs == (newest.id,)
    assert any("4 runs with other settings are left out" in note for note in history.notes)
    longer = changed(newest, newest.id, duration_s=9.0)  # a run that stands apart is no series
    assert len(build_history([*found[:-1], (path, longer)]).runs) == 4


def test_a_p99_with_what_others_disturbed_is_no_part_of_a_series_without(tmp_path: Path) -> None:
    new, old = with_and_without_other_work(tmp_path)
    runs = [
        changed(run, name, created=f"2026-0{month}-01T00:00:00+00:00")
        for month, (name, run) in enumerate([("a", old), ("b", old), ("c", new)], 1)
    ]
    history = build_history([(Path(run.id), run) for run in runs])
    points = {s.metric.path: [p.run for p in s.points] for s in history.series}
    assert points[BLOCK_P99] == ["c"]
    assert points["client.block_response_us.p50"] == ["a", "b", "c"]
    note = "is left out of 2 runs, the first a: unlike the newest run's it is not without"
    assert any(note in told for told in history.notes)
    alike = build_history([(Path(run.id), run) for run in runs[:2]])
    assert len(next(s for s in alike.series if s.metric.path == BLOCK_P99).points) == 2


def of_one_figure(run: Run) -> Run:
    """The run with its CPU alone, which makes small graphs."""
    cells = [msgspec.structs.replace(c, metrics={CPU: c.metrics[CPU]}) for c in run.cells]
    return msgspec.structs.replace(run, cells=cells)


def a_search(run: Run, name: str) -> Run:
    """What a complete run of `labrun crossover` is to a history: it has no cells."""
    line = Crossover(vary="io", baseline="thread-per-request", contender="thread-pool", rule="",
                     prediction="", cells=[], line=[])  # fmt: skip
    return changed(run, name, cells=[], comparisons=[], crossover=line)


def test_a_complete_search_is_another_study_and_not_a_partial_run(reference: Run) -> None:
    """16f: `labrun history results` called a complete crossover run partial."""
    found = [*a_history(reference, 3), (Path("x"), a_search(reference, "searched"))]
    notes = " ".join(build_history(found).notes)
    assert "runs of another study are left out (1), the first searched (crossover)" in notes
    assert "partial" not in notes
    with pytest.raises(LabError, match="no comparison to draw: searched is a search"):
        build_history([(Path("x"), a_search(reference, "searched"))])


def test_graphs_are_not_put_among_other_runs(
    reference: Run, labrun: Labrun, tmp_path: Path
) -> None:
    """16f: they go beside the runs of one history, and to a folder of their own otherwise."""
    for path, run in a_history(reference, 2):
        saved(of_one_figure(run), tmp_path / "results" / path)
    before = sorted(tmp_path.rglob("*"))
    assert labrun("history", "results").returncode == 0
    graphs = {"history-2000rps.png", "history-2000rps.svg", "history.html"}
    assert {p.name for p in tmp_path.rglob("*")} - {p.name for p in before} == graphs
    for name in graphs:
        (tmp_path / "results" / name).unlink()
    saved(a_search(reference, "searched"), tmp_path / "results" / "searched")
    before = sorted((tmp_path / "results").rglob("*"))
    done = labrun("history", "results")
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "results").rglob("*")) == before
    assert {p.name for p in (tmp_path / "history").iterdir()} == graphs
    assert labrun("history", "results", "--out", "results").returncode == 0
    assert (tmp_path / "results" / "history.html").exists()


class Reader(HTMLParser):
    """What the page loads, and how many points speak on hover."""

    def __init__(self) -> None:
        super().__init__()
        self.points = 0
        self.titles = 0
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.points += tag == "circle" and ("tabindex", "0") in attrs
        self.titles += tag == "title"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_graphs_and_the_page(reference: Run, labrun: Labrun, tmp_path: Path) -> None:
    for path, run in a_history(reference, 20, step_at=6):
        saved(run, tmp_path / "runs" / path)
    done = labrun("history", "runs", "--out", "graphs")
    assert done.returncode == 0, done.stderr
    assert "0000006" in done.stdout
    files = {file.name for file in (tmp_path / "graphs").iterdir()}
    assert files == {"history-2000rps.png", "history-2000rps.svg", "history.html"}
    ET.parse(tmp_path / "graphs" / "history-2000rps.svg")
    reader = Reader()
    reader.feed((tmp_path / "graphs" / "history.html").read_text(encoding="utf-8"))
    assert reader.addresses == []  # nothing is loaded from anywhere
    assert reader.points == 20 * 6 * 3  # runs, headline figures, two backends and their ratio
    assert reader.titles >= reader.points


def test_bad_folders(reference: Run, labrun: Labrun, tmp_path: Path) -> None:
    assert_one_sentence(labrun("history", "nowhere"), "no folder nowhere")
    (tmp_path / "empty").mkdir()
    assert_one_sentence(labrun("history", "empty"), "no run below empty", "labrun compare")
    saved(reference, tmp_path / "twice" / "a")
    shutil.copytree(tmp_path / "twice" / "a", tmp_path / "twice" / "b")
    assert_one_sentence(labrun("history", "twice"), "one id", reference.id, "remove one")
    (tmp_path / "cut" / "a").mkdir(parents=True)
    (tmp_path / "cut" / "a" / "run.json").write_text("{")
    assert_one_sentence(labrun("history", "cut"), "no run below cut can be read", "whole run.json")
    saved(changed(reference, "p", complete=False), tmp_path / "partial" / "a")
    assert_one_sentence(labrun("history", "partial"), "every one is partial")


@pytest.mark.parametrize("corrupt", [False, True])
def test_a_history_of_one(reference: Run, labrun: Labrun, tmp_path: Path, corrupt: bool) -> None:
    one = msgspec.structs.replace(of_one_figure(reference), id="one")
    saved(one, tmp_path / "one" / "a")
    if corrupt:
        (tmp_path / "one" / "b").mkdir()
        (tmp_path / "one" / "b" / "run.json").write_text("[]")
    done = labrun("history", "one")
    assert done.returncode == 0
    assert "one run is no history" in done.stdout
    assert ("left out" in done.stderr) == corrupt
