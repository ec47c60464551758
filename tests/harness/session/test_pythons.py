"""`--pythons A,B`: interpreters as the arms of one comparison, and whether the GIL was off."""

from __future__ import annotations

import json
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import LabError
from harness.core.pythons import gil_warnings, python_sentences
from harness.core.record import Run, Settings
from harness.lab import compare as compare_in_python
from harness.lab import load_run
from harness.reading.runs import load_run as read_run
from harness.session.pythons import apart
from harness.session.settings import CompareOptions, make_settings
from harness.store import RUN_FILE
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun, assert_measured, run_lab
from tests.support.pythons import FREE_THREADED, another_python

VERSION = ".".join(map(str, sys.version_info[:3]))
SHORT = ("--rps", "200", "--rounds", "1", "--duration", "0.5", "--warmup", "0.2")


@dataclass(frozen=True)
class Made:
    folder: Path
    record: dict[str, Any]
    run: Run
    said: str
    pythons: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The lab's own Python against two that say that they have no GIL: one keeps it off, in the
    other an extension switches it on again. No such build is at hand, so they only say so."""
    folder = tmp_path_factory.mktemp("pythons")
    off = another_python(folder / "off", FREE_THREADED.format(on="False"))
    on = another_python(folder / "on", FREE_THREADED.format(on='"httptools" in sys.modules'))
    pythons = [sys.executable, off, on]
    done = run_lab(folder, "compare", *SHORT, "--bare", "--pythons", ",".join(pythons))
    assert_measured(done.returncode, done.stderr)
    (file,) = (folder / "results").glob(f"*/{RUN_FILE}")
    assert run_lab(folder, "report", str(file.parent)).returncode == 0
    return Made(file.parent, json.loads(file.read_bytes()), read_run(file), done.stdout, pythons)


def test_each_interpreter_is_an_arm_that_is_named_by_its_version(made: Made) -> None:
    settings = made.record["settings"]
    assert settings["backends"] == ["thread-pool"] * 3
    names = [f"Python {VERSION}", f"Python {VERSION}t (1)", f"Python {VERSION}t (2)"]
    assert [arm["name"] for arm in settings["arms"]] == names
    assert settings["pythons"] == made.pythons
    assert {t["slot"]: t["arm"] for t in made.record["trials"]} == dict(enumerate(names))
    assert settings["design"] == "blocks"
    assert set(load_run(made.folder).table().columns) >= set(names)


def test_the_record_says_whether_the_gil_was_off_in_the_servers_that_ran(made: Made) -> None:
    told = {t["slot"]: t["server"]["gil_enabled"] for t in made.record["trials"]}
    assert told == {0: getattr(sys, "_is_gil_enabled", lambda: True)(), 1: False, 2: True}
    assert {t["server"]["python_version"] for t in made.record["trials"]} == {
        sys.version.split()[0]
    }
    _, off, on = (made.record["environment"]["server_pythons"][name] for name in made.pythons)
    assert (off["free_threaded_build"], off["gil_enabled"]) == (True, False)
    assert (on["gil_enabled"], on["gil_enabled_by"]) == (True, "httptools")
    assert [off["path"], on["path"]] == made.pythons[1:]


def test_table_and_report_say_it(made: Made) -> None:
    said = " ".join(made.said.split())
    assert f"Python {VERSION}t (1) ran under" in said
    assert "without the GIL. Python" in said
    (warned,) = gil_warnings(made.run)
    assert warned.startswith(f"Python {VERSION}t (2): ")
    assert "the import of httptools switched it on" in warned
    assert "PYTHON_GIL=0" in warned
    assert warned in said
    page = (made.folder / "report.md").read_text("utf-8")
    assert "GIL of Python" in page
    assert all(sentence in page for sentence in python_sentences(made.run))


def test_backends_times_interpreters(made: Made) -> None:
    def arms_under(pythons: list[str]) -> Settings:
        named = "thread-pool,event-loop"
        return make_settings(CompareOptions(backends=named, pythons=",".join(pythons)))

    settings = arms_under(made.pythons[:2])
    assert [arm.name for arm in settings.arms] == [
        f"{backend} on Python {VERSION}{build}"
        for backend in ("thread-pool", "event-loop")
        for build in ("", "t")
    ]
    assert settings.pythons == made.pythons[:2] * 2
    with pytest.raises(LabError, match="compare at most 6"):
        arms_under(made.pythons * 2)


def test_arms_with_options_have_them_under_each(made: Made) -> None:
    arms = ["wide=thread-pool --workers 64", "narrow=thread-pool --workers 2"]
    typed = CompareOptions(backends="", arms=arms, pythons=",".join(made.pythons[:2]))
    found = [(arm.name, arm.options) for arm in make_settings(typed).arms]
    assert found == [
        (f"{name} on Python {VERSION}{build}", {"workers": workers})
        for name, workers in (("wide", 64), ("narrow", 2))
        for build in ("", "t")
    ]


def test_equal_names_are_told_apart() -> None:
    assert apart(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]
    assert apart(["a", "b"]) == ["a", "b"]


def test_an_interpreter_against_itself_is_a_control() -> None:
    settings = make_settings(CompareOptions(pythons=f"{sys.executable},{sys.executable}",
                                            backends="thread-pool"))  # fmt: skip
    assert [arm.name for arm in settings.arms] == [
        f"Python {VERSION} (1)", f"Python {VERSION} (2)",
    ]  # fmt: skip


def test_a_path_may_be_relative_to_the_folder_and_a_plugin_may_lie_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_python(tmp_path / "there")
    (tmp_path / "mine.py").write_text(
        "from servers.thread_pool import ThreadPoolBackend\n"
        "class Mine(ThreadPoolBackend):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    done = run_lab(tmp_path, "compare", *SHORT, "--bare", "--backends", "mine:Mine", "--pythons",
                   "there/bin/python,./there/bin/python3")  # fmt: skip
    assert_measured(done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/no/such/python,3.11", ("/no/such/python", "cannot be run")),
        ("/bin/cat,3.11", ("/bin/cat", "does not answer", "3.11 or newer")),
        ("nosuch,3.11", ("nosuch", "no such program", "labrun doctor")),
        ("3.11", ("one interpreter", "--python 3.11")),
        ("3.11,", ("empty name",)),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    labrun: Labrun, typed: str, words: tuple[str, ...]
) -> None:
    assert_one_sentence(labrun("compare", "--pythons", typed), *words)


def test_what_does_not_go_with_it_is_one_sentence(labrun: Labrun) -> None:
    two = ("--pythons", "3.11,3.12")
    done = labrun("compare", *two, "--python", "3.11")
    assert_one_sentence(done, "--pythons and --python")
    target = ("--target", "127.0.0.1:80", "--control", "127.0.0.1:81")
    assert_one_sentence(labrun("compare", *two, *target), "--pythons and --target")
    assert_one_sentence(labrun("compare", *two, "--server", "a=b {port}"), "lab's own servers")
    native = labrun("compare", *two, "--backends", "native-thread-pool")
    assert_one_sentence(native, "native-thread-pool runs in no Python")


def test_an_interpreter_that_lacks_packages_is_told_how_to_get_them(
    labrun: Labrun, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    done = labrun("compare", "--pythons", f"{sys.executable},{python}")
    assert_one_sentence(done, "no httptools", f"{python} -m pip install httptools msgspec")


def test_one_that_is_too_old_says_its_version(labrun: Labrun, tmp_path: Path) -> None:
    old = another_python(tmp_path / "old", "import sys\nsys.version_info = (3, 10, 2)\n")
    done = labrun("compare", "--pythons", f"{old},{sys.executable}")
    assert_one_sentence(done, "is Python 3.10.2", "3.11 or newer")


def test_python_from_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAB_OFFLINE", raising=False)
    with pytest.raises(LabError, match="no such program"):
        compare_in_python("x", pythons=["nosuch", "3.11"], out=tmp_path)
