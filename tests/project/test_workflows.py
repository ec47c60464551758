"""The workflows are valid by schema and by actionlint, and run nothing that make does not."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import yaml

from tests.support.schemas import assert_follows

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_there_are_three_and_one_that_writes_pages() -> None:
    assert [file.name for file in WORKFLOWS] == ["bench.yml", "ci.yml", "site.yml"]
    assert [f.name for f in WORKFLOWS if "deploy-pages" in f.read_text("utf-8")] == ["site.yml"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_valid_by_the_schema(file: Path) -> None:
    schemas = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = yaml.safe_load((schemas / "github-workflows.json").read_text(encoding="utf-8"))
    workflow = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    # BaseLoader keeps `on` a word; it also keeps numbers words, so those are read again.
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    workflow["jobs"] = loaded["jobs"]
    workflow["on"] = loaded[True]
    assert_follows(workflow, schema)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_valid_by_actionlint(file: Path) -> None:
    actionlint = Path(sys.executable).parent / "actionlint"
    done = subprocess.run(
        [actionlint, "-no-color", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_shell_step_is_one_that_runs_here() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    here = makefile.partition("\nbench-ci:")[2].partition("\n\n")[0]
    for file in WORKFLOWS:
        jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
        for step in (step for job in jobs for step in job["steps"] if "run" in step):
            target = re.fullmatch(r"make ([a-z-]+)( [A-Z_]+=\S+)*", step["run"].strip())
            assert target is not None, step["run"]
            if file.name == "bench.yml":
                assert target[1] in here
            elif file.name == "site.yml":
                assert f"\n{target[1]}:" in makefile
            else:
                assert target[1] in makefile.partition("\ntest:")[2].partition("\n\n")[0]
