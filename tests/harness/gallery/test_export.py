"""A run as a gallery file: by its schema, with what was measured, and nothing of whose it is."""

from __future__ import annotations

import getpass
import json
import platform
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.core.errors import LabError
from harness.core.record import ArmSettings, Run, ServerSettings, Source, Trial
from harness.gallery.export import gallery_entry, gallery_text
from harness.gallery.record import gallery_schema
from harness.gallery.summary import pairs
from tests.support.changed_runs import changed, saved
from tests.support.labrun import Labrun
from tests.support.reference import reference_level
from tests.support.schemas import assert_follows

CPU = "server.cpu_us_per_request.total"


@pytest.fixture(scope="module")
def run() -> Run:
    """One level of the reference."""
    return reference_level()


def exported(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gallery_text(run))
    assert_follows(found, gallery_schema())
    return found


def test_the_published_schema_is_the_one_that_the_records_have() -> None:
    published = json.loads(files("harness").joinpath("gallery.schema.json").read_text("utf-8"))
    assert published == gallery_schema(), (
        "run: python -m harness.gallery.record > harness/gallery.schema.json"
    )


def test_it_has_the_ratios_of_the_run(run: Run) -> None:
    found = {r["metric"]: r for r in exported(run)["comparisons"]}
    for comparison in run.comparisons:
        if comparison.metric == CPU:
            assert found[CPU]["ratio"] == pytest.approx(comparison.ratio, rel=1e-4)
            assert found[CPU]["ci_low"] == pytest.approx(comparison.ci_low, rel=1e-4)
            assert found[CPU]["verdict"] == comparison.verdict


def test_what_tells_whose_machine_it_is_is_left_out(run: Run) -> None:
    server = ServerSettings(
        name="db7", command=["/home/alice/bin/serve", "--key=s3cret"],
        folder="/home/alice/project-x", environment={"TOKEN": "s3cret"},
    )  # fmt: skip
    told = changed(
        run, "alices-run", servers=[server], target="10.1.2.3:8080", command="labrun --out /home/a",
        arms=[ArmSettings(name="project-x", backend="thread-per-request"),
              ArmSettings(name="10.1.2.3", backend="thread-pool")],
        git_commit="abcdef", finding="alice found", warnings=["on alice-laptop"],
        kernel=f"6.1.0-{platform.node()}-{getpass.getuser()}",
    )  # fmt: skip
    text = gallery_text(told)
    for private in ("alice", "10.1.2.3", "project-x", "s3cret", "/home", "abcdef", platform.node()):
        assert private not in text, private
    found = exported(told)
    assert [arm["name"] for arm in found["arms"]] == ["server 1", "server 2"]
    assert found["machine"]["kernel"] == "6.1.0"


def test_names_that_tell_nothing_stay(run: Run) -> None:
    arms = [ArmSettings(name="wide (64)", backend="thread-per-request"),
            ArmSettings(name="<b>narrow</b>", backend="thread-pool")]  # fmt: skip
    found = exported(changed(run, "x", arms=arms))
    assert [arm["name"] for arm in found["arms"]] == ["wide (64)", "server 2"]
    assert {arm["language"] for arm in found["arms"]} == {"Python"}


def test_each_arm_has_the_interpreter_that_its_servers_said(run: Run) -> None:
    def under(trial: Trial) -> Trial:
        assert trial.server is not None
        said = msgspec.structs.replace(
            trial.server, python_version=f"3.1{3 + trial.slot}.0", gil_enabled=trial.slot == 0
        )
        return msgspec.structs.replace(trial, server=said)

    told = msgspec.structs.replace(run, trials=[under(trial) for trial in run.trials])
    arms = [(arm["python"], arm["gil"]) for arm in exported(told)["arms"]]
    assert arms == [("3.13.0", True), ("3.14.0", False)]
    (pair,) = pairs([("x.json", gallery_entry(told))])
    assert pair.rows[0].language == "Python 3.13.0 and Python 3.14.0 without the GIL"


def test_two_of_a_kind_are_told_apart(run: Run) -> None:
    found = exported(changed(run, "x", backends=["thread-pool", "thread-pool"], arms=[]))
    assert [arm["name"] for arm in found["arms"]] == ["thread-pool #1", "thread-pool #2"]


SOURCES = [Source(slot=slot, label=label, commit=label, dirty=False)
           for slot, label in enumerate(("old", "new"))]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"complete": False}, "was cut short"),
        ({"comparisons": []}, "has no ratio of two servers"),
        ({"sources": SOURCES}, "compares commits"),
    ],
)
def test_a_run_that_says_nothing_to_others_is_refused(
    run: Run, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(LabError, match=words):
        gallery_text(msgspec.structs.replace(run, **change))


def test_a_traced_run_is_refused(run: Run) -> None:
    traced = msgspec.structs.replace(run.settings, trace=1000)
    with pytest.raises(LabError, match="was traced, which costs CPU"):
        gallery_text(msgspec.structs.replace(run, settings=traced))


def test_what_is_written_is_taken(run: Run, labrun: Labrun, tmp_path: Path) -> None:
    saved(run, tmp_path / "run")
    written = labrun("export", "run", "--format", "gallery")
    assert written.returncode == 0, written.stderr
    (tmp_path / "mine.json").write_text(written.stdout, "utf-8")
    done = labrun("export", "--check", "mine.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "thread-pool against thread-per-request at 1 level" in done.stdout


def test_check_is_about_gallery_files_alone(labrun: Labrun) -> None:
    done = labrun("export", "x", "--check", "--format", "csv")
    assert done.returncode == 2
    assert "leave --format csv out" in done.stderr
