"""What chapter 5 says of the GIL is so in what was recorded; and the script runs here too."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.core.errors import LabError
from harness.course import gil
from harness.course.files import recorded_folder
from harness.course.gil import Convoy, Seen, Turns, look
from harness.lab import load_run


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    monkeypatch.setenv("LAB_OFFLINE", "1")
    found = [look(name) for name in ("with", "free-threaded-on", "free-threaded-off")]
    return [seen for seen in found if seen is not None]


def test_it_is_said_whether_the_gil_was_really_off(recorded: list[Seen]) -> None:
    with_it, on, off = recorded
    assert [seen.gil for seen in recorded] == [True, True, False]
    assert on.found["version"] == off.found["version"]  # one build, told otherwise
    assert repr(off).endswith("GIL off (recorded; 2 CPUs)")
    assert with_it.recorded


@pytest.mark.parametrize(
    ("threads", "processes", "words"),
    [
        (1.0, 0.52, "it is the lock, and not the CPUs"),
        (0.55, 0.52, "they compute at the same time"),
        (1.0, 0.97, "no second CPU was free, and the 1.00 times of two threads say nothing"),
        (0.5, 0.9, "no second CPU was free"),
    ],
)
def test_what_the_counting_says_rests_on_its_control(
    threads: float, processes: float, words: str
) -> None:
    times = {"one thread": 1.0, "two threads": threads, "two processes": processes}
    seen = Seen({"version": "3.13.5", "gil": True, "counting_s": times}, recorded=True)
    assert words in seen.counting_says()


def test_they_take_turns_with_it(recorded: list[Seen]) -> None:
    assert all(seen.overlap() == 0 for seen in recorded[:2])
    assert "both at once 0% of the time" in repr(Turns(*recorded).plot())


def test_without_a_second_cpu_no_picture_is_drawn_of_no_lock(recorded: list[Seen]) -> None:
    off = recorded[2]
    alone, together = ([[[0.0, 50.0]], [[50.0, 99.0]]], [[[0.0, 50.0]], [[0.0, 49.0]]])
    for processes, turns, words in (
        (1.0, alone, "GIL off: left out, no second CPU was free"),
        (0.5, together, "GIL off: both at once 98% of the time"),
    ):
        times = off.found["counting_s"] | {"one thread": 1.0, "two processes": processes}
        seen = Seen(off.found | {"counting_s": times, "turns": turns}, recorded=True)
        assert words in repr(Turns(recorded[0], seen).plot())


def test_the_convoy_grows_with_the_switch_interval_and_only_with_the_gil(
    recorded: list[Seen],
) -> None:
    for seen in recorded[:2]:
        late_ms = [(row["beside_us"] - row["alone_us"]) / 1e3 for row in seen.convoy]
        assert late_ms == sorted(late_ms, reverse=True)  # from the longest interval down
        assert late_ms[0] > 10
        assert late_ms[-1] < 2
    rows = recorded[2].convoy
    assert all(row["beside_us"] < 2 * row["alone_us"] for row in rows)
    assert "at the usual 5 ms" in repr(Convoy(*recorded).plot())


def test_threads_that_wait_do_so_at_the_same_time() -> None:
    """Common mistakes: "32 threads served 800 a second in notebook 3"."""
    waiting = load_run(recorded_folder() / "waiting")
    assert waiting.figure("server.threads_active_mean", 800)["thread-per-request"] == (
        pytest.approx(32, abs=1)
    )
    assert waiting.figure("client.success_rate", 800)["thread-per-request"] == 1


def test_it_runs_under_this_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = gil._SCRIPT.read_text("utf-8")
    assert "REPEATS = 120" in script
    (tmp_path / "short.py").write_text(script.replace("REPEATS = 120", "REPEATS = 5"), "utf-8")
    monkeypatch.setattr(gil, "_SCRIPT", tmp_path / "short.py")
    monkeypatch.setenv("LAB_OFFLINE", "")
    monkeypatch.delenv("LAB_RECORD", raising=False)
    seen = look("with")
    assert seen is not None
    assert not seen.recorded
    assert set(seen.counting_ms) == {
        "one thread", "two threads", "two threads, one CPU", "two processes"
    }  # fmt: skip
    assert len(seen.convoy) == 4
    assert seen.found["cpus"] == len(os.sched_getaffinity(0))
    assert Turns(seen).plot()._repr_png_().startswith(b"\x89PNG")


def test_what_is_no_interpreter_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "")
    for path, words in (
        (tmp_path / "python3.13t", "No such file"), ("/bin/false", "failed: without a word")
    ):  # fmt: skip
        monkeypatch.setenv("LAB_FREE_THREADED", str(path))
        with pytest.raises(LabError, match=words):
            look("free-threaded-off")
    monkeypatch.delenv("LAB_FREE_THREADED")
    monkeypatch.setattr(gil, "notebooks_folder", lambda: tmp_path)
    assert look("free-threaded-off") is None
    assert "was not run: set LAB_FREE_THREADED" in capsys.readouterr().out
    (tmp_path / "gil").mkdir()
    (tmp_path / "gil" / "with.json").write_text(json.dumps({"gil": True}), "utf-8")
    monkeypatch.setenv("LAB_OFFLINE", "1")
    read = look("with")
    assert read is not None
    assert read.gil
