"""The figures in the project's texts are those of the runs that they name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness.cli.report import renewed_texts
from harness.errors import LabError
from harness.report.docs import FILES

ROOT = Path(__file__).parents[2]


def test_no_figure_has_drifted_from_its_run() -> None:
    for file, (before, after) in renewed_texts(ROOT).items():
        assert "<!-- result:" in before, f"{file} has no figures"
        assert before == after, f"{file} is out of date: labrun report --docs renews it"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The texts and the runs that they name, elsewhere."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
        for folder in set(re.findall(r"<!-- result:\S+ (\S+) -->", (ROOT / name).read_text())):
            shutil.copytree(ROOT / folder, tmp_path / folder, dirs_exist_ok=True)
    return tmp_path


def test_a_figure_changed_by_hand_is_noticed_and_renewed(copy: Path) -> None:
    file = copy / "README.md"
    right = file.read_text("utf-8")
    file.write_text(right.replace("× the CPU per request", "0× the CPU per request"), "utf-8")
    before, after = renewed_texts(copy)[file]
    assert before != after == right


def test_another_run_can_be_named(copy: Path) -> None:
    (named,) = set(re.findall(r"<!-- result:\S+ (\S+) -->", (copy / "README.md").read_text()))
    shutil.copytree(copy / named, copy / "results" / "other")
    for _, after in renewed_texts(copy, "results/other").values():
        assert set(re.findall(r"<!-- result:\S+ (\S+) -->", after)) == {"results/other"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("no-such", "no result"), ("section:none", "no section"), ("setting:none", "no setting"),
     ("median:client.response_us.p50@1/x", "no figure"), ("ratio:x@1", "no ratio")],
)  # fmt: skip
def test_a_name_that_is_not_known_is_told(copy: Path, name: str, words: str) -> None:
    text = f"<!-- result:{name} results/reference -->x<!-- /result -->"
    (copy / "README.md").write_text(text, "utf-8")
    with pytest.raises(LabError, match=words):
        renewed_texts(copy)
