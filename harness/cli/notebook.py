"""`labrun notebook`: the course in the current folder, and JupyterLab on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.core.errors import LabError
from harness.terminal.output import complain

# Recorded runs are read where they are installed; the rest comes of working with the notebooks.
_LEFT = {"gil", "recorded", "results", ".ipynb_checkpoints", "__pycache__"}


@command()
def notebook(
    number: Annotated[
        str | None, typer.Argument(help="Which to open: 0 to 8, 2a or 2b.", show_default=False)
    ] = None,
    folder: Annotated[
        str, typer.Option(help="Where the course goes; what you changed is kept.")
    ] = "metricstream-course",
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")
    ] = True,
) -> None:
    """Copy the course's notebooks here and open JupyterLab, which Ctrl-C ends.

    example: labrun notebook 3
    """
    from harness.course.files import notebooks_folder

    source, target = notebooks_folder(), Path(folder)
    chosen = chosen_notebook(source, number)
    kept = copy_course(source, target)
    for path in kept:
        print(f"kept as it is, since it differs: {path}")
    print(f"the course is in {target}; begin with {chosen}")
    if not open_it:
        return
    if find_spec("jupyterlab") is None:
        raise LabError("JupyterLab is not installed here; pip install jupyterlab")
    command = [sys.executable, "-m", "jupyterlab", str(target / chosen)]
    if os.geteuid() == 0:
        complain("you are root; JupyterLab is told to allow it (--allow-root)")
        command.append("--allow-root")
    print("Ctrl-C ends JupyterLab", flush=True)
    raise typer.Exit(_until_ended(command))


def _until_ended(command: list[str]) -> int:
    """Run it; its exit status, and 0 where Ctrl-C ended it. A second Ctrl-C kills it."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # the terminal is closed: the same
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    # In a session of its own: JupyterLab answers Ctrl-C with a question, and SIGTERM by ending.
    with subprocess.Popen(command, start_new_session=True) as lab:
        try:
            return lab.wait()
        except KeyboardInterrupt:
            lab.terminate()
        try:
            lab.wait()
        except KeyboardInterrupt:
            lab.kill()
            raise
    return 0


def chosen_notebook(source: Path, number: str | None) -> str:
    """The name of a notebook by its number, like 3, 03 or 2a. Raises `LabError` where there is
    none."""
    from harness.course.files import number_of

    names = [path.name for path in sorted(source.glob("[0-9]*.ipynb"))]
    if number is None:
        return names[0]
    for name in names:
        if number_of(Path(name)) == (number.lower().lstrip("0") or "0"):
            return name
    raise LabError(f"there is no notebook {number}; there are {', '.join(names)}")


def copy_course(source: Path, target: Path) -> list[Path]:
    """Copy what is not there yet; what is there and differs is left alone, and returned.

    Raises `LabError` when the folder cannot be written.
    """
    from harness.store import cannot_write

    kept = []
    try:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            if _LEFT & set(file.relative_to(source).parts):
                continue
            copy = target / file.relative_to(source)
            if copy.exists():
                if copy.read_bytes() != file.read_bytes():
                    kept.append(copy)
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    except OSError as error:
        raise cannot_write(target, error) from error
    return kept
