"""The lab from Python: the same ways as the command line, and a sentence for what cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.cli.notebook import copy_course
from harness.course.files import notebooks_folder, recorded_folder
from harness.lab import BOTH, LabError, anatomy, claims, compare, load_run, reference
from tests.support import any_server

ROOT = Path(__file__).parents[2]


def test_a_live_comparison_is_a_run_as_the_command_line_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAB_OFFLINE", raising=False)
    live = compare("live", rps=100, rounds=1, duration=0.5, warmup=0.1, out=tmp_path)
    assert "live: 2 of 2" in capsys.readouterr().out
    (folder,) = tmp_path.iterdir()
    record = json.loads((folder / "run.json").read_bytes())
    assert record["settings"]["backends"] == list(BOTH)
    assert len(live.requests) == sum(t["client"]["scheduled"] for t in record["trials"])
    assert list(live.trials["backend"]) == list(BOTH)
    again = load_run(folder)
    pd.testing.assert_frame_equal(again.table(), live.table())
    assert live.plot("distribution")._repr_png_().startswith(b"\x89PNG")


def test_of_a_closed_loop_the_time_until_each_send_is_there_as_in_a_recorded_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAB_OFFLINE", raising=False)
    closed = compare("closed", driver="closed-loop", backends=["thread-pool"], rps=100, clients=2,
                     rounds=1, duration=0.5, warmup=0.1, out=tmp_path)  # fmt: skip
    rows = closed.requests
    recorded = load_run(recorded_folder() / "stalling-closed").requests
    assert set(rows) == set(recorded)
    sent = rows[rows["outcome"] != "unsent"]
    assert (sent["sent_after_us"] >= sent["lag_us"]).all()


def test_any_two_servers_are_compared_by_their_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAB_OFFLINE", raising=False)
    command = f"{sys.executable} {any_server.__file__} good {{port}}"
    made = compare(
        "mine", servers={"old": command, "new": command}, request="GET /healthz", expect=200,
        rps=50, rounds=1, duration=0.5, warmup=0.1, out=tmp_path,
    )  # fmt: skip
    assert "new at 50 RPS" in capsys.readouterr().out
    assert made.settings.outside
    assert list(made.trials["backend"]) == ["old", "new"]
    assert list(made.table(50).columns) == ["old", "new", "ratio", "low", "high", "verdict"]
    assert made.figure("server.cpu_us_per_request.total").index.tolist() == ["old", "new"]
    for trial in made.run.trials:
        assert trial.client.outcomes.http_error == 0
    assert made.plot()._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(LabError, match="seen from outside"):
        made.steps()


def test_servers_by_a_table_an_address_and_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their order is that of the argument; nobody has to be there for what cannot be measured."""
    monkeypatch.delenv("LAB_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabError, match="the server gone does not answer at"):
        compare("x", servers={"gone": "http://127.0.0.1:9", "app": "./app {port}"}, out=tmp_path)
    with pytest.raises(LabError, match="is no name and command"):
        compare("x", servers=["nothing-like-it"], out=tmp_path)
    with pytest.raises(LabError, match="there is no file of-mine"):
        compare("x", servers_file="of-mine.toml", out=tmp_path)
    with pytest.raises(LabError, match="labrun anatomy --server"):
        anatomy("x", servers={"app": "./app {port}"}, out=tmp_path)


def test_offline_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "1")
    first = compare("first", out=tmp_path)
    assert not list(tmp_path.iterdir())
    assert first.settings.backends == list(BOTH)
    with pytest.raises(LabError, match="no run 'nothing' was recorded"):
        compare("nothing", out=tmp_path)


def test_the_reference_has_all_levels_and_says_what_it_has_not() -> None:
    run = reference()
    assert run.settings.rps == [500, 1000, 2000, 5000, 10_000]
    assert list(run.table(2000).columns) == [*BOTH, "ratio", "low", "high", "verdict"]
    assert set(run.requests["level"]) == {2000.0}
    html = run._repr_html_()
    assert "10,000 RPS" in html
    assert {"median_us", "p99_us", "document_us"} == {c[0] for c in run.steps().columns}
    for wrong, words in (
        (lambda: run.table(3000), "no level 3000"),
        (lambda: run.figure("x"), "no figure 'x'"),
        (lambda: run.plot("pie"), "no picture 'pie'"),
    ):
        with pytest.raises(LabError, match=words):
            wrong()


@pytest.mark.parametrize("chart", ["distribution", "success", "storm", "cost", "anatomy",
                                   "waterfall"])  # fmt: skip
def test_every_picture_is_drawn(chart: str) -> None:
    assert reference().plot(chart, 2000)._repr_png_().startswith(b"\x89PNG")


def test_claims_are_a_table_with_reasons() -> None:
    ledger = claims(reference())
    assert {"claim", "document", "here", "verdict", "why", "language", "cpp", "verdict_cpp"} == (
        set(ledger.columns)
    )
    by_cpp = ledger.set_index("claim")["verdict_cpp"]
    assert by_cpp["all seven steps, pool"] == "holds"
    assert by_cpp["creating a thread, on a new stack"] == "does not hold"
    assert len(ledger) > 70
    assert set(ledger["verdict"]) >= {"holds", "does not hold"}
    steps = ledger[ledger["claim"].str.startswith("parsing HTTP")]
    assert all("C++" in note and "Python" in note and "GIL" in note for note in steps["language"])


def test_claims_of_a_run_that_they_are_not_about_are_one_sentence() -> None:
    with pytest.raises(LabError, match=r"not about run .*handlers with io"):
        claims(load_run(recorded_folder() / "waiting"))


@pytest.mark.parametrize(
    "path",
    ["client.response_us", "client", "client.beyond", "client.outcomes.total", "backend",
     "server.requests.answered_by_status", "client.response_us.p98", ""],
)  # fmt: skip
def test_a_path_to_what_is_no_figure_is_one_sentence(path: str) -> None:
    """`figure("client.response_us")` was a TypeError."""
    with pytest.raises(LabError, match=f"no figure '{path}'"):
        reference().figure(path)


def test_a_rate_is_measured_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`12345.67` became 12345.7."""
    monkeypatch.delenv("LAB_OFFLINE", raising=False)
    made = compare("odd", rps=123.4567, rounds=1, duration=0.5, warmup=0, out=tmp_path)
    assert made.settings.rps == [123.4567]
    with pytest.raises(LabError, match=r"no level 12345\.67; it has 123\.4567"):
        made.table(12345.67)


def test_bad_options_are_those_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="thread-pool"):
        compare("x", backends=["thread-pol"], out=tmp_path)
    with pytest.raises(LabError, match="--rps"):
        compare("x", rps=0, out=tmp_path)
    with pytest.raises(LabError, match="no option 'colour'"):
        compare("x", colour="red", out=tmp_path)


def test_the_page_of_the_interface_is_as_the_docstrings_say() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("griffe2md"), "harness.lab"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert (ROOT / "docs" / "api.md").read_text("utf-8") == done.stdout, "make api"


# ---- labrun notebook ------------------------------------------------------------------------


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "harness.cli", "notebook", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_course_is_copied_and_what_was_changed_is_kept(tmp_path: Path) -> None:
    done = run(tmp_path, "3", "--no-open")
    assert done.returncode == 0, done.stderr
    assert "begin with 03-" in done.stdout
    folder = tmp_path / "metricstream-course"
    assert len(list(folder.glob("*.ipynb"))) == 11
    assert not (folder / "recorded").exists()
    mine = folder / "00-start-here.ipynb"
    mine.write_text("my own notes", "utf-8")
    done = run(tmp_path, "--no-open")
    assert "kept as it is, since it differs" in done.stdout
    assert mine.read_text("utf-8") == "my own notes"
    assert copy_course(notebooks_folder(), folder) == [mine]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("12",), "there is no notebook 12"), (("--folder", "/proc/course"), "cannot write")],
)
def test_what_cannot_be_copied_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = run(tmp_path, *arguments, "--no-open")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_jupyterlab_opens_for_root_too_and_one_ctrl_c_ends_it(tmp_path: Path) -> None:
    """As root it exited with 1; Ctrl-C asked whether to shut down, and killed it meanwhile."""
    (tmp_path / "jupyter_server_config.json").write_text('{"ServerApp": {"open_browser": false}}')
    own = {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    terminal, keyboard = os.openpty()  # JupyterLab asks only where somebody could answer
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "harness.cli", "notebook"], cwd=tmp_path,
        env=os.environ | own, stdin=keyboard, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as lab:  # fmt: skip
        assert lab.stdout is not None
        try:
            said = [lab.stdout.readline()]
            while said[-1] and "is running at" not in said[-1]:
                said.append(lab.stdout.readline())
            os.killpg(lab.pid, signal.SIGINT)  # as a terminal does
            said += lab.stdout.readlines()  # until the last of them has ended
            assert lab.wait() == 0, "".join(said)
        finally:
            lab.terminate()
    for end in (terminal, keyboard):
        os.close(end)
    assert "received signal 15, stopping" in "".join(said)
    assert "Shut down this Jupyter server" not in "".join(said)
    assert ("told to allow it" in "".join(said)) == (os.geteuid() == 0)
