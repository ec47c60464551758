"""Run `labrun` as a person does."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Labrun = Callable[..., "subprocess.CompletedProcess[str]"]


def run_lab(
    folder: Path, *arguments: str, limit_files: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `labrun` in a folder; `limit_files`: with that many descriptors."""

    def lower_limit() -> None:
        if limit_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit_files, limit_files))

    return subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lower_limit,
    )
