"""`labrun claims` on a real run, and on what is no run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from harness.core.record import Run
from harness.reading.runs import load_run
from harness.studies.claims.ledger import the_ledger
from harness.studies.claims.records import VERDICTS, Explored, Judged
from tests.support.claim_trials import POOL, both, make_run, make_trial
from tests.support.labrun import Labrun, assert_measured
from tests.support.serving import needs_compiler


@pytest.fixture
def copied(real_run: Path, tmp_path: Path) -> Path:
    """The real run, to be spoilt."""
    folder = tmp_path / "run"
    shutil.copytree(real_run, folder)
    return folder


def one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_real_run_is_judged_claim_by_claim(labrun: Labrun, copied: Path) -> None:
    done = labrun("claims", str(copied), "--json", str(copied.with_name("verdicts.json")))
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for words in ("500 µs", "40 to 100", "352,000", "The document against itself", "2.2 ms"):
        assert words in done.stdout
    for verdict in VERDICTS:
        assert f" {verdict}" in done.stdout
    record = msgspec.json.decode(copied.with_name("verdicts.json").read_bytes(), type=Judged)
    assert [j.claim for j in record.judgements] == the_ledger().claim
    assert record.checks


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Each file below a folder: its content, and when it was written."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("judged_before", [False, True])
def test_reading_a_run_changes_nothing_in_its_folder(
    labrun: Labrun, copied: Path, judged_before: bool
) -> None:
    """Verdicts on a run that was there are shown, or written where --json says (point 28)."""
    if judged_before:
        path = copied / "claims.json"
        assert labrun("claims", str(copied), "--json", str(path)).returncode == 0
    before = everything(copied)
    for arguments in ([str(copied)], [str(copied / "run.json"), "--json", "-"]):
        done = labrun("claims", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Saved" not in done.stdout
    assert everything(copied) == before


def test_the_record_is_typed_json_alone_on_standard_output(labrun: Labrun, copied: Path) -> None:
    done = labrun("claims", str(copied), "--json", "-")
    assert done.returncode == 0
    record = msgspec.json.decode(done.stdout.encode(), type=Judged)
    assert record.run == load_run(copied).id
    path = copied / "verdicts.json"
    assert labrun("claims", str(copied / "run.json"), "--json", str(path)).returncode == 0
    again = msgspec.json.decode(path.read_bytes(), type=Judged)
    assert again.judgements == record.judgements


def test_figures_are_those_of_the_run(labrun: Labrun, copied: Path) -> None:
    run = load_run(copied)
    done = labrun("claims", str(copied), "--json", "-")
    found = {j["claim"]["id"]: j for j in json.loads(done.stdout)["judgements"]}
    valid = [t for t in run.trials if t.backend == POOL and t.valid]
    if valid:  # on a busy machine the generator can be late in both
        best = max(t.client.achieved_rps for t in valid if t.rps == max(t.rps for t in valid))
        assert found["max-pool"]["measured"]["most"] >= best
    assert found["success-2000-pool"]["verdict"] == "not testable here"
    assert "no level of 2,000 RPS" in found["success-2000-pool"]["reason"]


def save(run: Run, folder: Path) -> Path:
    folder.mkdir()
    (folder / "run.json").write_bytes(msgspec.json.encode(run))
    return folder


@pytest.mark.parametrize(
    ("name", "run", "words"),
    [
        ("partial", lambda: msgspec.structs.replace(
            make_run([make_trial(backend=POOL, slot=1)]), complete=False,
            incomplete_reason="interrupted in trial 2 of 10"), "PARTIAL: interrupted in trial 2"),
        ("no-trial", lambda: make_run([]), "was finished"),
        ("invalid", lambda: make_run(both(valid=False)), "10 of 10 trials were not sound"),
        ("no-success", lambda: make_run(both(ok=0)), "answered nothing ok"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_poor_run_is_judged_all_the_same(
    labrun: Labrun, tmp_path: Path, name: str, run: Callable[[], Run], words: str
) -> None:
    done = labrun("claims", str(save(run(), tmp_path / name)))
    assert (done.returncode, done.stderr) == (0, "")
    assert words in " ".join(done.stdout.split())
    assert f"{len(the_ledger().claim)} claims:" in done.stdout


@pytest.mark.parametrize("options", [[], ["--json", "-"], ["--explore"]], ids=str)
def test_a_run_that_the_claims_are_not_about_is_not_judged(
    labrun: Labrun, tmp_path: Path, options: list[str]
) -> None:
    """Not even in JSON, and no search begins with it (point 16e)."""
    folder = save(make_run(both(), workload="io:40ms", workers=32), tmp_path / "other")
    done = labrun("claims", str(folder), *options)
    one_sentence(done, "32 workers, not 16; handlers with io:40ms of work besides", "--explore")
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_a_folder_that_is_missing_or_no_run(labrun: Labrun, tmp_path: Path) -> None:
    one_sentence(labrun("claims", str(tmp_path / "nowhere")), "no such folder", "results/")
    one_sentence(labrun("claims", str(tmp_path)), "is no run's folder")


def test_a_run_that_ended_before_its_first_trial(labrun: Labrun, tmp_path: Path) -> None:
    (tmp_path / ".parts").mkdir()
    one_sentence(labrun("claims", str(tmp_path)), "incomplete", "before its first trial")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[: len(data) // 2], "it is cut short"),
        (lambda data: b"", "it is empty"),
        (lambda data: b"\x00\xff" + data[2:], "it is corrupt"),
        (lambda data: data.replace(b'"schema": 2', b'"schema": 7', 1), "has schema 7"),
        (lambda data: b'{"name": "left-pad", "version": "1.0"}', "another program's"),
        (lambda data: b"[1, 2]", "another program's"),
        (lambda data: data.replace(b'"clients"', b'"customers"', 1), "`clients`"),
    ],
    ids=["cut", "empty", "corrupt", "schema", "foreign", "list", "field"],
)
def test_a_run_that_cannot_be_read_is_one_sentence(
    labrun: Labrun, copied: Path, spoil: Callable[[bytes], bytes], words: str
) -> None:
    file = copied / "run.json"
    whole = file.read_bytes()
    spoilt = spoil(whole)
    assert spoilt != whole
    file.write_bytes(spoilt)
    one_sentence(labrun("claims", str(copied)), words, "run.json")


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"{", "no whole record"), (b"[]", "no whole record")],
)
def test_an_old_judgement_that_is_broken_is_told(
    labrun: Labrun, copied: Path, data: bytes, words: str
) -> None:
    (copied / "claims.json").write_bytes(data)
    one_sentence(labrun("claims", str(copied)), words, "delete it")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["some-run", "--rounds", "3"], ["--rounds would need a new run"]),
        (["--rps", "fast"], ["'fast' is no rate"]),
        (["--rounds", "0"], ["--rounds must be from 1"]),
        (["--duration", "0.1"], ["--duration"]),
        (["--json", "/nowhere/claims.json"], ["--json /nowhere/claims.json"]),
        (["--out", "/proc/nowhere"], ["cannot write", "--out"]),
        (["a", "b"], ["b"]),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_sentence(
    labrun: Labrun, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    one_sentence(labrun("claims", *arguments, cwd=tmp_path), *words)


@pytest.mark.slow
@needs_compiler
def test_without_a_run_one_is_made_and_judged_with_what_is_measured_beside(
    labrun: Labrun, tmp_path: Path
) -> None:
    options = ["--rps", "200", "--rounds", "1", "--duration", "0.5", "--out", str(tmp_path)]
    done = labrun("claims", *options, "--json", "-")
    assert_measured(done.returncode, done.stderr)
    record = msgspec.json.decode(done.stdout.encode(), type=Judged)
    (folder,) = tmp_path.iterdir()
    found = {j.claim.id: j for j in record.judgements}
    for name in ("thread-create", "thread-destroy", "create-cpu", "enqueue-pool"):
        assert found[name].measured is not None, found[name].reason
    counted = found["cache-locality"]
    assert counted.measured is not None or record.beside.missing["migrations"] in counted.reason
    assert len(record.in_cpp) == len(record.judgements), record.native_missing
    in_cpp = {j.claim.id: j for j in record.in_cpp}
    assert in_cpp["thread-create"].measured is not None, in_cpp["thread-create"].reason
    assert in_cpp["enqueue-pool"].measured is not None, in_cpp["enqueue-pool"].reason
    # Judged again, the folder still has what was measured beside its trials.
    again = labrun("claims", str(folder), "--json", "-")
    assert msgspec.json.decode(again.stdout.encode(), type=Judged).judgements == record.judgements


@pytest.mark.slow
def test_ctrl_c_in_a_search_saves_what_was_tried_and_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "harness.cli", "claims", "--explore", "--rps", "200"]
    command += ["--rounds", "1", "--duration", "0.5", "--out", str(tmp_path)]
    lab = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert lab.stderr is not None
    seen: list[str] = []
    for line in lab.stderr:  # until the second condition has begun
        seen.append(line)
        if line.startswith("2/"):
            break
    else:
        pytest.fail("".join(seen))
    children = psutil.Process(lab.pid).children(recursive=True)
    lab.send_signal(signal.SIGINT)
    out, rest = lab.communicate(timeout=120)
    assert lab.returncode == 130, rest
    assert "Traceback" not in rest
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    (folder,) = tmp_path.iterdir()
    record = msgspec.json.decode((folder / "explore.json").read_bytes(), type=Explored)
    assert not record.complete
    assert record.conditions[0].name == "as the document has it"
    assert "The search is PARTIAL" in out
    assert os.path.exists(folder / str(record.conditions[0].folder) / "run.json")
