"""A commit of this repository, checked out beside the working tree for as long as it is needed."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import LabError

_GIT_S = 120.0


def repository_root(folder: Path | None = None, ours: bool = True) -> Path:
    """The top of the checkout that `folder` (default: the current one) is in.

    Raises `LabError` outside a checkout: `ours`, of this project, else of anything.
    """
    folder = Path.cwd() if folder is None else folder
    try:
        root = Path(git(folder, "rev-parse", "--show-toplevel"))
    except LabError as error:
        raise LabError(
            f"{folder} is in no git checkout; go to the project's folder, or name two runs"
        ) from error
    if ours and not (root / "servers" / "__main__.py").exists():
        raise LabError(
            f"{root} has no package servers; name what it has, a plugin by --backends module:Class "
            "or a server by --server, or go to a checkout of this project"
        )
    return root


def resolve_commit(root: Path, ref: str) -> str:
    """The full hash of a ref. Raises `LabError` when there is no such commit here."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}")
    except LabError as error:
        raise LabError(
            f"there is no commit {ref!r} in this repository; name a branch, a tag or a hash "
            "(in a shallow clone: git fetch --unshallow)"
        ) from error


def is_dirty(root: Path) -> bool:
    """Whether the working tree holds what no commit holds."""
    return bool(git(root, "status", "--porcelain"))


@contextmanager
def checked_out(root: Path, commit: str) -> Iterator[Path]:
    """The tree of a commit in a temporary folder, which is gone afterwards, also after Ctrl-C.

    The folder holds `tree` (the worktree) and room for what belongs to it.
    Raises `LabError` when git cannot check it out.
    """
    git(root, "worktree", "prune")  # what a killed lab left behind
    with tempfile.TemporaryDirectory(prefix="labrun-", ignore_cleanup_errors=True) as scratch:
        tree = Path(scratch) / "tree"
        try:
            git(root, "worktree", "add", "--detach", "--quiet", str(tree), commit)
            yield tree
        finally:
            with _undisturbed():
                if tree.exists():
                    git(root, "worktree", "remove", "--force", "--force", str(tree))
                git(root, "worktree", "prune")


def git(folder: Path, *arguments: str) -> str:
    """Output of a git command. In a session of its own, so that Ctrl-C reaches the lab alone.

    Raises `LabError` with git's own last line.
    """
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="surrogateescape",
            timeout=_GIT_S, check=False,
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise LabError("git is not installed; install it, or name two runs") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"git {arguments[0]} did not end within {_GIT_S:g} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LabError(f"git {arguments[0]} failed: {last}")
    return done.stdout.strip()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C waits until the tidying is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
