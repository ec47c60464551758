"""Other interpreters, made from the one that runs the tests."""

from __future__ import annotations

import sysconfig
import venv
from pathlib import Path

# What a build without the GIL says of itself, until the first extension that is not ready for it.
FREE_THREADED = """
import sys, sysconfig
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1
sys._is_gil_enabled = lambda: {on}
"""


def another_python(folder: Path, customize: str = "") -> str:
    """An interpreter at another path, with the packages of this one; `customize`: what it does
    before anything else."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lab.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (site / "sitecustomize.py").write_text(customize)
    return str(folder / "bin" / "python")
