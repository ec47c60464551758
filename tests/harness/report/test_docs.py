"""The figures in the project's texts are those of the runs that they name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness.cli.report import renewed_texts
from harness.core.errors import LabError
from harness.report.docs import FILES

ROOT = Path(__file__).parents[3]


def test_no_figure_has_drifted_from_its_run() -> None:
    for file, (before, after) in renewed_texts(ROOT).items():
        assert "<!-- result:" in before, f"{file} has no figures"
        assert before == after, f"{file} is out of date: labrun report --docs renews it"


def block(name: str) -> str:
    return f"Before <!-- result:{name} results/run -->x<!-- /result --> and after."


@pytest.fixture
def copy(tmp_path: Path, run_folder: Path) -> Path:
    """Small texts, and the run that they name."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block("setting:rounds"), "utf-8")
    shutil.copytree(run_folder, tmp_path / "results" / "run")
    return tmp_path


def test_a_figure_changed_by_hand_is_noticed_and_renewed(copy: Path) -> None:
    file = copy / "README.md"
    file.write_text(block("ratio:server.cpu_us_per_request.total@2000"), "utf-8")
    _, right = renewed_texts(copy)[file]
    assert re.search(r"-->[\d.]+× \([\d.]+ to [\d.]+\)<!-- /result --> and after", right)
    file.write_text(right.replace("× (", "0× ("), "utf-8")
    before, after = renewed_texts(copy)[file]
    assert before != after == right


def test_another_run_can_be_named(copy: Path) -> None:
    shutil.copytree(copy / "results" / "run", copy / "results" / "other")
    for _, after in renewed_texts(copy, "results/other").values():
        assert set(re.findall(r"<!-- result:\S+ (\S+) -->", after)) == {"results/other"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("no-such", "no result"), ("section:none", "no section"), ("setting:none", "no setting"),
     ("median:client.response_us.p50@1/x", "no figure"), ("ratio:x@1", "no ratio")],
)  # fmt: skip
def test_a_name_that_is_not_known_is_told(copy: Path, name: str, words: str) -> None:
    (copy / "README.md").write_text(block(name), "utf-8")
    with pytest.raises(LabError, match=words):
        renewed_texts(copy)
