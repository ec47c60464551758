"""The gallery files of this repository, whoever gave them, can be taken; each is named after what
it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.labrun import run_lab

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "gallery").iterdir())


def test_all_can_be_taken() -> None:
    done = run_lab(ROOT, "export", "--check", "gallery")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_named_after_its_day_and_machine(file: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}-[a-z0-9.-]+\.json", file.name)
    assert json.loads(file.read_text("utf-8"))["created"].startswith(file.name[:10])
