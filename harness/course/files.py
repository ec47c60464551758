"""Where the course's files are: beside the project's sources, or in the installed package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from harness.core.errors import LabError

_PACKAGE = Path(str(resources.files("harness.course")))
_PROJECT = _PACKAGE.parents[1]


def notebooks_folder() -> Path:
    """The folder of the notebooks. Raises `LabError` where they are not."""
    for folder in (_PACKAGE / "notebooks", _PROJECT / "notebooks"):
        if (folder / "00-start-here.ipynb").exists():
            return folder
    raise LabError("this installation has no notebooks; install the lab from its wheel")


def number_of(notebook: Path) -> str:
    """The number of a notebook, as one says it: 0, 2a, 8."""
    return notebook.name.partition("-")[0].lstrip("0") or "0"


def recorded_folder() -> Path:
    """The folder of the recorded runs, one folder each, by name."""
    return notebooks_folder() / "recorded"
