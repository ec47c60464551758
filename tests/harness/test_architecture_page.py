"""docs/architecture.md shows the packages as they import one another, circles included."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pytest

import harness

HARNESS = Path(harness.__file__).parent
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def package_of(module: str) -> str | None:
    """`harness.drivers.open_loop.engine` is of `load`; None for what is not the lab's."""
    first, _, rest = module.partition(".")
    if first != "harness":
        return first if first == "servers" else None
    return rest.partition(".")[0] or None


def imported(file: Path) -> set[str]:
    """The packages that a file imports, within functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "harness":
            names |= {f"harness.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {package for name in names if (package := package_of(name)) is not None}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Each package of the harness, and those that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(HARNESS.rglob("*.py")):
        package = file.relative_to(HARNESS).parts[0].removesuffix(".py")
        if package != "__init__":
            found[package] |= imported(file) - {package}
    return found


def test_the_table_has_every_package_and_what_it_imports(imports: dict[str, set[str]]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|$", PAGE, re.MULTILINE)
    described = {name: set(re.findall(r"`(\w+)`", cells)) for name, cells in rows}
    for name, packages in sorted(imports.items()):
        told = ", ".join(f"`{package}`" for package in sorted(packages))
        assert described.get(name) == packages, f"docs/architecture.md: `{name}` imports {told}"
    assert described.keys() == imports.keys()


def test_every_circle_of_two_packages_is_named(imports: dict[str, set[str]]) -> None:
    named = set(re.findall(r"^- `(\w+)` and `(\w+)`:", PAGE, re.MULTILINE))
    circles = {
        (one, other)
        for one, other in combinations(sorted(imports), 2)
        if other in imports[one] and one in imports[other]
    }
    assert named == circles


def test_every_file_and_name_that_the_page_follows_is_there() -> None:
    files = set(re.findall(r"`((?:servers|harness|tests)/[\w/]+\.\w+)`", PAGE))
    assert len(files) > 15
    for file in files:
        assert (ROOT / file).is_file(), file
    code = "\n".join(
        path.read_text("utf-8")
        for folder in ("servers", "harness")
        for path in sorted((ROOT / folder).rglob("*.py"))
    )
    for name in re.findall(r"`(?:\w+\.)?(_?\w+)` in `(?:servers|harness)/", PAGE):
        assert re.search(rf"^\s*(?:def|class) {name}\b", code, re.MULTILINE), name
