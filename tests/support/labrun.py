"""Run `labrun` as a person does.

Most tests ask about what it says and writes, not about its process: they run its `main` in this
one, where everything heavy has been imported already. What lives by its process (a server, a page,
limits of its own, measurements of this very process) gets one.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from harness.cli import main

Labrun = Callable[..., "subprocess.CompletedProcess[str]"]

_NEED_A_PROCESS = {"serve", "locust", "locust-worker", "notebook", "doctor", "--lock-stacks"}


def run_lab(
    folder: Path,
    *arguments: str,
    cwd: Path | None = None,
    limit_files: int | None = None,
    encoding: str = "utf-8",
) -> subprocess.CompletedProcess[str]:
    """Run `labrun` in `cwd`, else in `folder`; `limit_files`: with that many descriptors;
    `encoding`: of what it writes to (not where it gets a process of its own)."""
    where = folder if cwd is None else cwd
    if limit_files is not None or _NEED_A_PROCESS & set(arguments):
        return run_lab_apart(where, *arguments, limit_files=limit_files)
    return run_lab_here(where, *arguments, encoding=encoding)


def run_lab_here(
    where: Path, *arguments: str, encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    """Run `labrun` in the folder `where`, always in this process: enough for what is refused."""
    out, errors = _stream(encoding), _stream(encoding)
    with _as_if_new(where, arguments), redirect_stdout(out), redirect_stderr(errors):
        status = main(list(arguments))
    return subprocess.CompletedProcess(list(arguments), status, _text(out), _text(errors))


def assert_measured(status: int, said: str) -> None:
    """The exit status and standard error of a run that came to its end. On a machine that stood
    still no trial may have been valid: that is told, with status 1."""
    assert status == 0 or (status == 1 and "trials are not valid" in said), said


def run_lab_apart(
    folder: Path, *arguments: str, limit_files: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `labrun` in `folder`, always as a process of its own."""

    def lower_limit() -> None:
        if limit_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit_files, limit_files))

    return subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        preexec_fn=lower_limit,
    )


@contextmanager
def _as_if_new(folder: Path, arguments: tuple[str, ...]) -> Iterator[None]:
    """What a process has to itself, put back afterwards."""
    before, path, argv = Path.cwd(), list(sys.path), sys.argv
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    dropped = sys.unraisablehook
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    modules = set(sys.modules)
    os.chdir(folder)
    sys.argv = ["labrun", *arguments]
    try:
        yield
    finally:
        sys.argv = argv
        os.chdir(before)
        sys.path[:] = path
        # A backend of the folder's own; the next folder may have another of that name.
        for name in set(sys.modules) - modules:
            file = str(getattr(sys.modules[name], "__file__", None))
            if Path(file).parent == folder:
                del sys.modules[name]
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = dropped
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
