"""Offline a run is what was asked for, or says in what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.lab import LabError, compare


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "1")


def test_of_more_rounds_than_were_asked_for_it_has_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`rounds=1` silently gave five."""
    same = ["thread-pool", "thread-pool"]
    one = compare("control", backends=same, rounds=1, duration=0.6, out=tmp_path)
    assert capsys.readouterr().out == ""
    assert set(one.trials["round"]) == set(one.requests["round"]) == {1}
    assert set(one.table()["verdict"]) <= {"cannot-tell", "not-comparable"}
    assert one.settings.rounds == 1
    five = compare("control", backends=same, rounds=5, duration=0.6, out=tmp_path)
    assert set(five.trials["round"]) == {1, 2, 3, 4, 5}
    assert five.table()["low"].notna().any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 9}, "rounds=5 where 9 was asked for"),
        ({"rps": 3000}, "rps=2000 where 3000 was asked for"),
        ({"rps": [500, 2000]}, "rps=2000 where [500, 2000] was asked for"),
        ({"workload": "io:40ms"}, "workload=ingest where io:40ms was asked for"),
        ({"timeout": 3}, "timeout=1 where 3 was asked for"),
        ({"switch_interval": 0.1}, "switch_interval=None where 0.1 was asked for"),
        ({"stack_size": "64KiB"}, "stack_size as it was then, and not '64KiB'"),
    ],
)
def test_whatever_else_is_otherwise_is_said(
    options: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, object] = {"rps": 2000, "rounds": 5, "duration": 0.6}
    compare("first", **asked | options)  # type: ignore[arg-type]
    assert capsys.readouterr().out == f"first: a recorded run, with {words}\n"


def test_an_option_that_is_none_is_refused_as_where_it_is_measured() -> None:
    with pytest.raises(LabError, match="no option 'colour'"):
        compare("first", colour="red")
