"""A checkout of the servers with a history of its own, for what compares two commits."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import servers

# One backend, half a second a trial; `--rounds` wants a number.
SHORT = (
    "--rps", "100", "--duration", "0.5", "--warmup", "0.1", "--backends", "thread-pool", "--rounds",
)  # fmt: skip
_AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@localhost")


def git(folder: Path, *arguments: str) -> str:
    """What git says there."""
    return subprocess.run(
        ["git", *_AUTHOR, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def make_checkout(root: Path) -> Path:
    """A checkout with the servers in it, and a commit before the last."""
    source = Path(servers.__file__).parent
    shutil.copytree(source, root / "servers", ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "old")
    (root / "note").write_text("new")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "new")
    return root
