"""`--arm`: the same backend with two settings, compared; each arm by its name everywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import LabError
from harness.lab import compare as compare_in_python
from harness.lab import load_run
from harness.session.settings import CompareOptions, make_settings, parse_arms
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun, assert_measured, run_lab

WIDE, NARROW = "wide=thread-pool --workers 5 --queue-size=50", "narrow=thread-pool"
SHORT = ("--rps", "200", "--rounds", "1", "--duration", "0.5", "--warmup", "0.2")


@dataclass(frozen=True)
class Made:
    folder: Path
    record: dict[str, Any]
    said: str
    watched: str


def run_of(folder: Path, *arguments: str) -> Made:
    done = run_lab(folder, "compare", *SHORT, *arguments)
    assert_measured(done.returncode, done.stderr)
    (file,) = (folder / "results").glob("*/run.json")
    return Made(file.parent, json.loads(file.read_bytes()), done.stdout, done.stderr)


@pytest.fixture(scope="module", params=["trials", "blocks"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two arms of one backend, and one backend as it is before them."""
    folder = tmp_path_factory.mktemp(request.param)
    arms = ("--arm", WIDE, "--arm", NARROW, "--workers", "2")
    backends = ("--backends", "thread-per-request")
    return run_of(folder, "--bare", "--design", request.param, *backends, *arms)


def test_each_arm_is_a_server_with_its_own_options(made: Made) -> None:
    settings = made.record["settings"]
    assert settings["backends"] == ["thread-per-request", "thread-pool", "thread-pool"]
    assert settings["arms"] == [
        {"name": "thread-per-request", "backend": "thread-per-request", "options": {}},
        {"name": "wide", "backend": "thread-pool", "options": {"workers": 5, "queue_size": 50}},
        {"name": "narrow", "backend": "thread-pool", "options": {}},
    ]
    told = {t["slot"]: (t["arm"], t["backend"]) for t in made.record["trials"]}
    assert told == {
        0: ("thread-per-request", "thread-per-request"),
        1: ("wide", "thread-pool"),
        2: ("narrow", "thread-pool"),
    }
    threads = {t["slot"]: t["server"]["threads_peak"] for t in made.record["trials"]}
    assert (threads[1], threads[2]) == (5, 2)
    assert all(t["workers"] is None for t in made.record["trials"])  # not a search's own
    compared = {(c["slot"], c["baseline"], c["contender"]) for c in made.record["comparisons"]}
    assert compared == {
        (1, "thread-per-request", "wide"), (2, "thread-per-request", "narrow"),
    }  # fmt: skip


def test_every_word_about_an_arm_is_its_name(made: Made) -> None:
    assert "wide, 200 RPS, round 1" in made.watched
    words = " ".join(made.said.split())
    assert "2 workers, wide is thread-pool with 5 workers and queue of 50" in words
    assert "narrow is thread-pool with 2 workers and queue of 10,000" in words
    assert "#" not in made.said
    lab = load_run(made.folder)
    assert {"wide", "narrow", "thread-per-request"} <= set(lab.table().columns)
    assert "wide" in lab.finding
    assert list(lab.figure("client.response_us.p50").index) == [
        "thread-per-request", "wide", "narrow",
    ]  # fmt: skip
    assert set(lab.trials["backend"]) == {"thread-per-request", "wide", "narrow"}


def test_report_exports_and_claims_take_the_names(made: Made, labrun: Labrun) -> None:
    done = labrun("report", str(made.folder))
    assert done.returncode == 0, done.stderr
    page = (made.folder / "report.md").read_text("utf-8")
    assert "wide is thread-pool with 5 workers" in page
    assert "| wide" in page
    csv = labrun("export", str(made.folder), "--format", "csv").stdout
    assert "wide @ 200 RPS" in csv or "wide" in {line.split(",")[0] for line in csv.splitlines()}
    refused = labrun("claims", str(made.folder))
    assert "wide has options of its own" in " ".join((refused.stderr + refused.stdout).split())


def test_without_backends_there_are_the_arms_alone(tmp_path: Path) -> None:
    alone = run_of(tmp_path, "--bare", "--design", "trials", "--arm", "one=thread-pool --workers 1")
    assert alone.record["settings"]["backends"] == ["thread-pool"]
    assert "one answers all" in alone.said or "nothing can be said" in alone.said


def test_from_python_arms_are_named_in_a_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAB_OFFLINE", raising=False)
    live = compare_in_python(
        "arms", rps=200, rounds=1, duration=0.5, warmup=0.1, out=tmp_path,
        arms={"wide": "thread-pool --workers 5", "narrow": "thread-pool --workers 2"},
    )  # fmt: skip
    assert live.settings.backends == ["thread-pool", "thread-pool"]
    assert [arm.options for arm in live.settings.arms] == [{"workers": 5}, {"workers": 2}]
    assert live.plot("distribution")._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        (["wide"], ["'wide' is no name and backend", "--arm 'wide=thread-pool --workers 64'"]),
        (["=thread-pool"], ["is no name and backend"]),
        (["wide="], ["is no name and backend"]),
        (["wide= --workers 3"], ["--arm wide: ", "required: backend"]),
        (["a" * 41 + "=thread-pool"], ["a name is up to 40 letters"]),
        (["a\tb=thread-pool"], ["a name is up to 40 letters"]),
        (["wide=thread-pol"], ["did you mean thread-pool"]),
        (["wide=thread-pool", "wide=thread-pool --workers 3"], ["--arm wide", "two would have"]),
        (["wide=thread-pool --port 8080"], ["--arm wide: --port is for the lab to set"]),
        (["wide=thread-pool --cpus=1"], ["--cpus is for the lab to set"]),
        (["wide=thread-pool --exit-with-parent"], ["--exit-with-parent is for the lab to set"]),
        (["wide=thread-pool --threads 3"], ["--arm wide: ", "--threads"]),
        (["wide=thread-pool --help"], ["--arm wide: ", "--help"]),
        (["wide=thread-pool --options"], ["--arm wide: ", "--options"]),
        (["wide=thread-pool stray"], ["stray"]),
        (["wide=thread-pool --workers 0"], ["--workers must be a whole number from 1"]),
        (["wide=thread-pool --workers 3 --workers 4"], ["--workers is given more than once"]),
        (["wide=thread-pool --workers '3"], ["--arm wide: No closing quotation"]),
        ([f"arm{n}=thread-pool" for n in range(7)], ["name 7; compare at most 6"]),
    ],
    ids=lambda value: value[0][:40] if isinstance(value, list) else None,
)
def test_what_is_no_arm_is_refused_in_a_sentence(
    arms: list[str], words: list[str], labrun: Labrun, tmp_path: Path
) -> None:
    typed = [part for arm in arms for part in ("--arm", arm)]
    assert_one_sentence(labrun("compare", *typed), *words)
    assert not (tmp_path / "results").exists()


def test_a_name_may_not_be_that_of_a_backend_beside_it() -> None:
    with pytest.raises(LabError, match="two would have this name"):
        parse_arms(["thread-pool=thread-pool --workers 3"], ["thread-pool"], {})


def test_blocks_are_long_enough_for_the_slowest_arm() -> None:
    options = CompareOptions(
        design="blocks", backends="", arms=["slow=thread-pool --workload io:300ms"], block_s=0.5
    )
    with pytest.raises(LabError, match=r"--block 0\.5: a handler takes 0\.3 s"):
        make_settings(options)


def test_what_an_arm_has_like_all_is_not_its_own() -> None:
    made = make_settings(
        CompareOptions(
            backends="",
            arms=["wide=thread-pool --workers 3 --lock-stacks --request-deadline 5"],
            servers={"workers": 3},
        )
    )
    assert made.arms[0].options == {"lock_stacks": True}
