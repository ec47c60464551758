"""What of a file with gaps is not written yet."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path


def unwritten(file: Path, names: Sequence[str]) -> list[str]:
    """Of these functions (`put`, or `Queue.put`) those whose body is nothing but its docstring and
    `...`, `pass`, or a `raise NotImplementedError`. None of a file that cannot be parsed: whoever
    reads it says why."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return []
    empty = {name for name, function in _functions(tree) if _is_empty(function)}
    return [name for name in names if name in empty]


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            inner = (item for item in node.body if isinstance(item, ast.FunctionDef))
            yield from ((f"{node.name}.{function.name}", function) for function in inner)


def _is_empty(function: ast.FunctionDef) -> bool:
    return all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        or (isinstance(line, ast.Raise) and "NotImplementedError" in ast.dump(line))
        for line in function.body
    )
