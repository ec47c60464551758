"""Execute the course's notebooks: `python -m harness.course.execute [--offline] [NUMBER ...]`.

Live, which takes some minutes and a quiet machine, each run is recorded for those who have none;
the notebooks are written back with their outputs, without what differs from run to run for nothing
(execution times, ids of kernels). What answers a prediction is written with its outputs folded.
The first cell that fails ends it, with its traceback.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from harness.course.files import notebooks_folder, number_of
from harness.course.keeping import keep_reference

_CELL_S = 300
_ANSWERS = re.compile(r"^\s*(show_after|resolve)\(", re.MULTILINE)


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook's cells in `folder`, where the files with gaps that lie beside it are as well;
    the notebook with its outputs. Raises CellExecutionError for a cell that fails."""
    for file in path.parent.glob("*.py"):
        if not (folder / file.name).exists():  # what a learner has written stays
            shutil.copy(file, folder)
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook, timeout=_CELL_S, kernel_name="python3", resources={"metadata": {"path": folder}},
        record_timing=False,
    )  # fmt: skip
    client.execute()
    notebook.metadata = nbformat.from_dict(  # type: ignore[no-untyped-call]
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        fold(cell)
    done: nbformat.NotebookNode = notebook
    return done


def fold(cell: nbformat.NotebookNode) -> None:
    """Have JupyterLab show a cell's outputs, where they answer a prediction, only once it was run
    or they were asked for."""
    if cell.cell_type == "code" and _ANSWERS.search(cell.source):
        cell.metadata["jupyter"] = {"outputs_hidden": True}


def numbered(numbers: list[str]) -> list[Path]:
    """The notebooks of these numbers, solutions after them; all without any."""
    folder = notebooks_folder()
    found = sorted(folder.glob("[0-9]*.ipynb")) + sorted((folder / "solutions").glob("*.ipynb"))
    return [path for path in found if not numbers or number_of(path) in numbers]


def main() -> int:
    """0, or 1 when a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", help="which notebooks, like 3 or 2a (default: all)")
    parser.add_argument("--offline", action="store_true", help="from recorded runs")
    parser.add_argument("--reference", type=Path, help="a run to record as the reference first")
    asked = parser.parse_args()
    if asked.reference is not None:
        keep_reference(asked.reference)
    for path in numbered(asked.numbers):
        began = monotonic()
        # Solutions are of what was recorded a moment ago.
        still = asked.offline or path.parent.name == "solutions"
        os.environ.update(LAB_OFFLINE="1" if still else "", LAB_RECORD="" if still else "1",
                          LAB_UNFOLDED="1")  # fmt: skip
        try:
            with TemporaryDirectory(prefix="notebook-") as scratch:
                notebook = execute(path, Path(scratch))
        except CellExecutionError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        print(f"{path.name}: {monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
