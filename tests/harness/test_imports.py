"""Imports go one way; enforced by reading them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import harness
import servers

HARNESS = Path(harness.__file__).parent
SERVERS = Path(servers.__file__).parent


def imported(file: Path) -> set[str]:
    """Modules that a file names in any import, function bodies included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(folder: Path, *forbidden: str) -> list[str]:
    return [
        f"{file.relative_to(folder.parent)} imports {name}"
        for file in sorted(folder.rglob("*.py"))
        for name in imported(file)
        if any(name == root or name.startswith(root + ".") for root in forbidden)
    ]


def test_servers_import_nothing_of_the_harness_and_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "scipy", "matplotlib", "rich", "typer", "psutil")
    assert violations(SERVERS, "harness", "locust", "gevent", *heavy) == []


def test_load_does_not_import_what_plans_or_shows() -> None:
    assert (
        violations(HARNESS / "load", "harness.cli", "harness.measure", "harness.report.charts")
        == []
    )


@pytest.mark.parametrize(
    "folder",
    ["load", "observe", "experiment", "analysis", "charts", "regression", "claims", "report"],
)
def test_only_the_command_line_prints(folder: str) -> None:
    assert violations(HARNESS / folder, "harness.cli", "rich", "typer") == []


def test_drawing_never_measures() -> None:
    measuring = ("harness.measure", "harness.machine", "harness.drivers", "servers", "psutil")
    assert violations(HARNESS / "charts", *measuring) == []
    assert violations(HARNESS / "report", *measuring) == []


def test_judging_claims_never_measures() -> None:
    measuring = ("harness.measure", "harness.machine", "harness.drivers", "servers", "psutil")
    assert violations(HARNESS / "claims", *measuring) == []


def test_the_open_loop_engine_is_free_of_gevent_and_numpy() -> None:
    files = [HARNESS / "load" / name for name in ("engine.py", "worker.py", "response.py")]
    assert not any(
        name.split(".")[0] in ("gevent", "locust", "numpy") for f in files for name in imported(f)
    )


def test_gevent_stays_in_locusts_processes() -> None:
    names = ("file", "_run", "_crew", "_hand", "_part", "_lab", "_window", "_web")
    theirs = [*(f"harness.load.locust{name}" for name in names), "gevent", "locust"]
    for folder in ("experiment", "observe", "analysis", "cli", "charts", "report"):
        assert violations(HARNESS / folder, *theirs) == []


def test_judging_never_measures() -> None:
    measuring = ("harness.measure", "harness.machine", "harness.drivers", "servers", "psutil")
    assert violations(HARNESS / "regression", *measuring, "harness.report.charts") == []
