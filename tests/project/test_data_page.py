"""docs/data.md describes every column and every part of the record that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from harness.core import record
from harness.designs.trials import PlannedTrial
from harness.measure.request_rows import Rows, requests_frame, timeline_frame
from harness.stats.weighted import WEIGHT
from harness.store import REQUESTS_FILE, TIMELINE_FILE
from harness.studies.compare.waterfall import SENT_AFTER
from harness.targets.arm import Arm

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")
PLANNED = PlannedTrial(Arm("thread-pool", 0), 2000.0, 1, 0, 1, 2)
ONE = np.zeros(1, dtype=np.int64)
RECORDED = sorted(
    [*(ROOT / "notebooks" / "recorded").glob("*"), ROOT / "results" / "reference"],
    key=lambda folder: folder.name,
)


def section(title: str) -> str:
    """The text below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/data.md has no section {title!r}"
    return found[1]


def rows_of(title: str, head: str) -> list[list[str]]:
    """The cells of the table in a section whose first column is called `head`."""
    lines = section(title).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names_of(title: str, head: str = "name") -> list[str]:
    """What the first column of a section's table names."""
    return [name for row in rows_of(title, head) for name in re.findall(r"`([^`]+)`", row[0])]


def columns_of(title: str) -> dict[str, str]:
    """The columns that a section describes, with their types."""
    return {row[0].strip("`"): row[1] for row in rows_of(title, "column")}


def types_of(frame: pd.DataFrame) -> dict[str, str]:
    """The columns of a frame, with their types."""
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_every_column_that_a_run_writes_is_described_with_its_type() -> None:
    rows = Rows(0, ONE, ONE, ONE, ONE, ONE, ONE, ONE, in_flight_max=1)
    assert columns_of(REQUESTS_FILE) == types_of(requests_frame(PLANNED, rows))
    assert columns_of(TIMELINE_FILE) == types_of(timeline_frame(PLANNED, 0, []))


def test_the_columns_that_only_rows_in_git_have_are_described() -> None:
    assert columns_of("Rows that git keeps") == {WEIGHT: "int32", SENT_AFTER: "float32"}


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_a_recorded_run_has_no_column_that_is_not_described(folder: Path) -> None:
    added = {*columns_of("Rows that git keeps"), *columns_of("Rows of runs in blocks")}
    for file, more in ((REQUESTS_FILE, added), (TIMELINE_FILE, set())):
        described = set(columns_of(file))
        assert described <= set(pq.read_schema(folder / file).names) <= described | more


def test_every_outcome_is_described() -> None:
    assert names_of(REQUESTS_FILE, "outcome") == list(record.OUTCOMES)


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("The run", record.Run),
        ("A trial", record.Trial),
        ("blocks", record.Block),
        ("client", record.Client),
        ("server", record.Server),
        ("cells", record.Cell),
        ("comparisons", record.Comparison),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_part_of_the_record_is_described(title: str, kind: type[msgspec.Struct]) -> None:
    described = set(names_of(title))
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert described == fields


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("A trial", record.Kernel),
        ("client", record.Quantiles),
        ("server", record.ContextSwitches),
        ("server", record.CpuPerRequest),
        ("server", record.Memory),
        ("server", record.Requests),
        ("cells", record.CellMetric),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_the_parts_of_those_are_named(title: str, kind: type[msgspec.Struct]) -> None:
    named = set(re.findall(r"`([^`]+)`", section(title)))
    assert {field.encode_name for field in msgspec.structs.fields(kind)} <= named


def test_the_rows_of_a_trial_are_found_by_slot_level_and_round(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's own code, on the run that it names."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(ROOT)
    names: dict[str, pd.DataFrame] = {}
    exec(code, names)
    assert not names["trials"].duplicated(["slot", "level", "round"]).any()
    counted, trials = names["counted"], names["trials"]
    held = trials[trials["level"].isin(counted["level"])]
    scheduled = held.loc[held["valid"], "client.scheduled"].sum()
    assert counted[WEIGHT].sum() == scheduled
    assert "thread-pool" in capsys.readouterr().out
