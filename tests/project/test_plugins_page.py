"""docs/plugins.md: its backend runs as it stands; a class that lacks hooks is refused at once."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from servers.backend import Backend
from servers.registry import ENTRY_POINT_GROUP, UnknownBackend, resolve
from servers.report import Gauges
from tests.support.labrun import Labrun, assert_measured
from tests.support.serving import (
    PATIENCE_S,
    connect,
    exchange,
    metric_request,
    read_answer,
    servers,
)

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")
NAME = "newest_first:NewestFirst"
HALF = """
from servers.backend import Backend

class Half(Backend):
    name = "half"

    def dispatch(self, connection):
        self.handle(connection)
"""


def block(language: str) -> str:
    """The page's one block of code in a language."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's backend in it, and one that lacks hooks."""
    (tmp_path / "newest_first.py").write_text(block("python"), "utf-8")
    (tmp_path / "half.py").write_text(HALF, "utf-8")
    return tmp_path


def test_the_example_serves_says_no_when_it_is_full_and_finishes_what_it_took(
    folder: Path,
) -> None:
    arguments = [NAME, "--workers=1", "--queue-size=1"]
    with servers() as start:
        server = start(*arguments, env={"PYTHONPATH": str(folder)})
        assert exchange(server.port, metric_request()).status == 202
        # One that says nothing holds the only worker, the next fills the stack.
        with connect(server.port) as slow:
            server.until(lambda r: r.counters.accepted == 2 and r.gauges.queue_depth == 0)
            with connect(server.port) as waiting:
                server.until(lambda report: report.gauges.queue_depth == 1)
                assert exchange(server.port, metric_request()).status == 503
                assert server.report().counters.rejected_by_backend == {"stack_full": 1}
                for sock in (slow, waiting):
                    sock.sendall(metric_request())
                    assert read_answer(sock).status == 202
        assert server.reconciled().answered_by_status == {"202": 3, "503": 1}
        assert server.report().gauges.queue_depth_max == 1
        assert server.sample().threads_active == 1
        assert server.stop() == 0


def test_the_example_gives_up_what_it_cannot_finish(folder: Path) -> None:
    arguments = [NAME, "--workers=1", "--request-deadline=2"]
    with servers() as start:
        server = start(*arguments, "--workload=io:4s", env={"PYTHONPATH": str(folder)})
        with connect(server.port) as first, connect(server.port) as second:
            for sock in (first, second):
                sock.sendall(metric_request())
            server.until(lambda r: r.counters.accepted == 2 and r.gauges.queue_depth == 1)
            assert server.stop() == 1
        accepted, _, _, _, abandoned = server.last_account()
        assert (accepted, abandoned) == (2, 2)


def test_the_example_is_compared(folder: Path, labrun: Labrun) -> None:
    done = labrun(
        "compare", "--backends", f"thread-pool,{NAME}", "--rps", "200", "--rounds", "1",
        "--duration", "1", "--warmup", "0.2", "--bare", cwd=folder,
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    (record,) = (folder / "results").glob("*/run.json")
    trials = json.loads(record.read_bytes())["trials"]
    assert [trial["backend"] for trial in trials] == ["thread-pool", NAME]
    assert all(trial["server"]["queue_depth_max"] is not None for trial in trials)


def test_an_entry_point_gives_it_a_name(folder: Path) -> None:
    points = tomllib.loads(block("toml"))["project"]["entry-points"][ENTRY_POINT_GROUP]
    installed = folder / "newest_first-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: newest-first\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in points.items()]
    (installed / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines]))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli", "backends"], cwd=folder, check=True,
        env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert re.search(rf"^newest-first +{NAME}$", done.stdout, re.MULTILINE)


def test_a_class_that_lacks_hooks_is_refused_before_the_first_trial_naming_them(
    folder: Path, labrun: Labrun
) -> None:
    done = labrun("compare", "--backends", "thread-pool,half:Half", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr in PAGE
    assert "lacks drain, gauges, open_window, step_peaks" in done.stderr
    assert not (folder / "results").exists()
    done = subprocess.run(
        [sys.executable, "-m", "servers", "half:Half"], cwd=folder, capture_output=True, text=True,
        timeout=PATIENCE_S * 4, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "lacks drain, gauges" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_base_class_itself_is_no_backend() -> None:
    with pytest.raises(UnknownBackend, match="lacks dispatch, drain"):
        resolve("servers.backend:Backend")


def test_the_page_names_every_hook_and_every_field_of_the_gauges() -> None:
    hooks: list[tuple[str, Callable[..., object]]] = [
        (name, hook)
        for name, hook in vars(Backend).items()
        if inspect.isfunction(hook) and not name.startswith("_")
    ]
    for name, hook in hooks:
        arguments = list(inspect.signature(hook).parameters)[1:]
        assert f"| `{name}({', '.join(arguments)})` |" in PAGE
    for field in Gauges.__struct_fields__:
        assert f"`{field}`" in PAGE
