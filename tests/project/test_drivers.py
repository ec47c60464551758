"""A driver is asked, not named: nothing outside `harness/drivers` compares it with a name."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import harness
from harness.core.record import DriverName
from harness.drivers.driver import driver_of

HARNESS = Path(harness.__file__).parent
NAMES = get_args(DriverName)


def names_a_driver(node: ast.AST) -> bool:
    """Whether an operand is a driver's name, or a setting or option that is one."""
    if isinstance(node, ast.Attribute):
        return node.attr == "driver"
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(map(names_a_driver, node.elts))
    return isinstance(node, ast.Constant) and node.value in NAMES


def comparisons(source: str) -> list[int]:
    """The lines in which something is compared with a driver's name, or matched with it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
            case ast.MatchValue():
                operands = [node.value]
            case _:
                continue
        if any(map(names_a_driver, operands)):
            found.append(node.lineno)
    return found


def test_what_is_looked_for_is_found() -> None:
    assert comparisons("settings.driver != wanted") == [1]
    assert comparisons('name in ("closed-loop", "locust")') == [1]
    assert comparisons('match name:\n    case "locust":\n        pass') == [2]
    assert comparisons("driver_of(settings.driver).falls_behind") == []


def test_no_module_but_the_drivers_own_asks_which_one_it_is() -> None:
    found = [
        f"{file.relative_to(HARNESS)}:{line}"
        for file in sorted(HARNESS.rglob("*.py"))
        if HARNESS / "drivers" not in file.parents
        for line in comparisons(file.read_text("utf-8"))
    ]
    assert found == []


def test_every_driver_of_the_record_is_one_of_the_packages() -> None:
    assert len({driver_of(name) for name in NAMES}) == len(NAMES)
