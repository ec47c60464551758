from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.core.errors import LabError
from harness.reading.runs import load_run
from harness.store import RunFolder

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """A real limit on file sizes: writing beyond it fails as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def frame(rows: int, backend: str = "thread-pool") -> pd.DataFrame:
    noise = np.random.default_rng(1).random(rows)
    return pd.DataFrame({"backend": pd.Categorical([backend] * rows), "response_us": noise})


def test_a_folder_is_named_by_time_and_name_and_never_reused(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, "a b/c", NOW)
    second = RunFolder.create(tmp_path, "a b/c", NOW)
    assert first.id == "20260102T030405Z-a-b-c"
    assert second.id == "20260102T030405Z-a-b-c-2"


def test_the_rows_of_all_trials_become_one_file_each(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", NOW)
    folder.add_trial(frame(10, "thread-pool"), frame(2))
    folder.add_trial(frame(20, "thread-per-request"), frame(3))
    requests, timeline = folder.finish()
    assert (len(requests), len(timeline)) == (30, 5)
    assert requests["backend"].value_counts().to_dict() == {
        "thread-per-request": 20,
        "thread-pool": 10,
    }
    assert {p.name for p in folder.path.iterdir()} == {"requests.parquet", "timeline.parquet"}


@pytest.mark.parametrize("rows", [(0, 3), (3, 0), (0, 0)])
def test_a_trial_without_a_look_at_the_server_costs_no_other_its_rows(
    tmp_path: Path, rows: tuple[int, int]
) -> None:
    """The machine stood still for all of its window, so no sample of it was taken."""
    folder = RunFolder.create(tmp_path, "run", NOW)
    for number, count in enumerate(rows):
        folder.add_trial(frame(10, f"backend-{number}"), frame(count, f"backend-{number}"))
    requests, timeline = folder.finish()
    assert (len(requests), len(timeline)) == (20, sum(rows))
    assert list(timeline["backend"]) == [
        f"backend-{number}" for number, count in enumerate(rows) for _ in range(count)
    ]


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", NOW)
    folder.add_trial(frame(10), frame(2))
    with files_of_at_most(8192), pytest.raises(LabError, match=r"cannot write .*; make room"):
        folder.add_trial(frame(100_000), frame(2))
    assert not list(folder.path.rglob("*.tmp"))
    requests, _ = folder.finish()
    assert len(requests) == 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        ("", "no whole run.json"),
        ('{"schema": 1, "id": "x"', "no whole run.json"),
        ('{"schema": 3}', "schema 3; this lab reads up to 2"),
        ('{"schema": 1}', "missing required field"),
        ("[]", "no whole run.json"),
    ],
)
def test_what_is_no_run_is_refused_with_the_reason(
    tmp_path: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(LabError, match=words):
        load_run(tmp_path)
