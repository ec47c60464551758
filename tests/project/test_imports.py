"""Imports go one way: the order stands in docs/architecture.md, and every import is read."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import harness
import servers

ROOT = Path(__file__).parents[2]
HARNESS = Path(harness.__file__).parent
SERVERS = Path(servers.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
# What is before the command line and yet asks about one module below `studies` is one package.
ORDER = re.findall(r"^\| `([\w.]+)` \| [^|]+ \|$", PAGE, re.MULTILINE)


@cache
def imported(file: Path) -> frozenset[str]:
    """Modules that a file names in any import, within functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return frozenset(names)


def package_of(module: str) -> str | None:
    """Which package of the list a module is of; None for what is not the lab's, and for a name
    that holds packages alone (`harness`, `harness.studies`)."""
    if module == "servers" or module.startswith("servers."):
        return "servers"
    below = module.removeprefix("harness.")
    if below in (module, "harness"):
        return None
    found = [name for name in ORDER if below == name or below.startswith(name + ".")]
    assert found or below in ("studies", "py"), f"{module} is in no package of docs/architecture.md"
    return found[0] if found else None


def modules() -> dict[str, Path]:
    """Every module of the two packages."""
    return {
        ".".join(file.relative_to(folder.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): file
        for folder in (SERVERS, HARNESS)
        for file in sorted(folder.rglob("*.py"))
    }


MODULES = modules()


def test_the_page_names_every_package_in_its_order() -> None:
    assert ORDER[0] == "servers"
    assert len(ORDER) == len(set(ORDER))
    assert {p for module in MODULES if (p := package_of(module))} == set(ORDER)


def test_a_package_imports_only_what_stands_before_it() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, file in MODULES.items()
        for name in sorted(imported(file))
        if (own := package_of(module)) and (other := package_of(name))
        if ORDER.index(other) > ORDER.index(own)
    ]
    assert wrong == []


def test_no_import_hides_its_package() -> None:
    relative = [m for m, file in MODULES.items() if any(n.startswith(".") for n in imported(file))]
    assert relative == []


def violations(folder: Path, *forbidden: str) -> list[str]:
    return [
        f"{file.relative_to(ROOT if ROOT in file.parents else folder.parent)} imports {name}"
        for file in sorted(folder.rglob("*.py"))
        for name in imported(file)
        if any(name == root or name.startswith(root + ".") for root in forbidden)
    ]


def test_servers_import_nothing_of_the_harness_and_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "scipy", "matplotlib", "rich", "typer", "psutil")
    assert violations(SERVERS, "harness", "locust", "gevent", *heavy) == []


@pytest.mark.parametrize(
    "package",
    [name for name in ORDER if name not in ("servers", "terminal", "commands", "cli")],
)
def test_only_the_command_line_prints(package: str) -> None:
    folder = HARNESS.joinpath(*package.split("."))
    assert violations(folder, "rich", "typer") == []


# What judges or draws; a study that measures does so in modules of its own, named here.
MEASURING = ("harness.measure.run", "harness.measure.trial", "harness.targets", "harness.drivers")
PLANS = {"search.py", "against.py", "apart.py", "beside.py", "planner.py"}


@pytest.mark.parametrize("package", ["stats", "core", "views", "studies", "reading", "report"])
def test_what_judges_or_draws_never_measures(package: str) -> None:
    allowed = {"harness.drivers.driver"}
    found = [
        f"{file.relative_to(HARNESS)} imports {name}"
        for file in sorted((HARNESS / package).rglob("*.py"))
        if file.name not in PLANS
        for name in imported(file)
        if any(name == m or name.startswith(m + ".") for m in MEASURING)
        and not any(name.startswith(each) for each in allowed)
        and name != "harness.drivers"
    ]
    assert found == []


def test_the_open_loop_engine_is_free_of_gevent_and_numpy() -> None:
    files = [*(HARNESS / "drivers" / "open_loop").glob("*.py"), HARNESS / "drivers" / "response.py"]
    assert len(files) >= 4
    assert not any(
        name.split(".")[0] in ("gevent", "locust", "numpy") for f in files for name in imported(f)
    )


def test_gevent_stays_in_locusts_processes() -> None:
    inside = HARNESS / "drivers" / "locust"
    for file in sorted(HARNESS.rglob("*.py")):
        if inside not in file.parents:
            names = {name.split(".")[0] for name in imported(file)}
            assert not names & {"gevent", "locust"}, file


def test_scripts_and_notebooks_use_no_module_of_the_command_line() -> None:
    assert violations(ROOT / "benchmarks", "harness.cli", "harness.commands") == []
    for page in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        assert not re.search(r"harness\.(cli|commands|terminal)", page.read_text("utf-8")), page
