"""Pictures of ideas are drawn of any run, and say in words what they show."""

from __future__ import annotations

import pytest

from harness.course.chapter_pictures import cost_model, document_times, two_clocks
from harness.course.files import recorded_folder
from harness.course.idea_pictures import goodput, intervals, little, stalls_seen
from harness.lab import load_run, reference


@pytest.mark.parametrize("name", ["first", "control", "in-blocks", "own"])
def test_intervals_of_a_run(name: str) -> None:
    drawn = intervals(load_run(recorded_folder() / name))
    assert drawn._repr_png_().startswith(b"\x89PNG")
    assert "CPU per request, µs" in drawn.alt


def test_intervals_at_a_level_whose_ends_are_infinite() -> None:
    assert intervals(reference(), 10_000)._repr_png_().startswith(b"\x89PNG")


def test_littles_law_holds_in_its_picture() -> None:
    assert "5 / 8 a minute times that is 1.69, the mean number inside" in little().alt


def test_a_closed_loop_sees_few_of_the_slow() -> None:
    opened, closed = (
        load_run(recorded_folder() / f"stalling-{loop}") for loop in ("open", "closed")
    )
    assert "75 slow requests by an open loop, 8 by a closed" in stalls_seen(opened, closed).alt


def test_a_collapse_is_claimed_only_where_goodput_falls() -> None:
    assert goodput(reference()).alt.startswith("Goodput falls nowhere: no collapse.")
    assert "falls nowhere" in goodput(load_run(recorded_folder() / "storm")).alt
    waiting = goodput(load_run(recorded_folder() / "waiting"))
    assert waiting.alt.startswith("Goodput falls: thread-pool.")


def test_a_request_by_two_clocks_is_drawn_of_any_anatomy() -> None:
    drawn = two_clocks(load_run(recorded_folder() / "life"))
    assert "thread-per-request: useful are 52% of the time and 44% of the CPU" in drawn.alt
    assert two_clocks(reference())._repr_png_().startswith(b"\x89PNG")


def test_the_documents_times_are_those_that_its_checks_compare() -> None:
    drawn = document_times().alt
    for said in ("834 µs", "2.2 ms", "at once: 20 to 50 ms", "inside: 90 to 100 ms"):
        assert said in drawn


@pytest.mark.parametrize("seen", [[500, 1000, 5000], [500, 1000, 2000, 5000, 10_000]])
def test_a_model_is_drawn_beside_what_it_has_not_seen(seen: list[float]) -> None:
    run = reference()
    drawn = cost_model(run, dict.fromkeys(run.settings.backends, lambda _: 100.0), seen)
    assert ("thread-pool at 10,000: 100 µs by the model, 68 measured" in drawn.alt) == (
        10_000 not in seen
    )
