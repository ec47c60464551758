"""The servers in C++, built on first use into the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Name -> source.
NATIVE = {
    "native-thread-per-request": "thread_per_request.cpp",
    "native-thread-pool": "thread_pool.cpp",
}
_FOLDER = Path(__file__).parent
_FLAGS = ("-std=c++17", "-O2", "-pthread")
COMPILERS = ("c++", "g++", "clang++")
_BUILD_S = 300.0


class CannotBuild(Exception):
    """There is no compiler, or it would not compile: one sentence that says what to do."""


def built(name: str) -> Path:
    """The program of a backend of `NATIVE`. Raises `CannotBuild`."""
    return compiled(name, _FOLDER / NATIVE[name])


def compiled(name: str, source: Path) -> Path:
    """The program of a source in C++, compiled now unless this compiler has compiled the same
    source, and those beside it, before. Raises `CannotBuild`."""
    compiler = find_compiler()
    program = _cache() / f"{name}-{_key(compiler, source.parent)}"
    if not program.exists():
        _compile(compiler, name, source, program)
    return program


def find_compiler() -> str:
    """The compiler of this machine: CXX, or what is usual. Raises `CannotBuild`."""
    wanted = os.environ.get("CXX", "")
    for name in (wanted,) if wanted else COMPILERS:
        found = shutil.which(name)
        if found is not None:
            return found
    raise CannotBuild(
        f"there is no C++ compiler here ({wanted or ', '.join(COMPILERS)}), which the native "
        "backends are built with; install one (apt install g++), name it in CXX, or take other "
        "backends"
    )


def _key(compiler: str, folder: Path) -> str:
    """The same for the same sources, flags and compiler."""
    said = _run([compiler, "--version"], "cannot be run").stdout
    digest = hashlib.sha256("\0".join((compiler, said, *_FLAGS)).encode())
    for source in sorted(folder.glob("*.[ch]pp")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _cache() -> Path:
    """Where programs are kept. XDG Base Directories: a relative path there is to be ignored."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(told) if os.path.isabs(told) else Path.home() / ".cache"
    return base / "metricstream-lab"


def _compile(compiler: str, name: str, source: Path, program: Path) -> None:
    """Into a file of its own, which is then renamed: two that build at once do not meet."""
    began_s = time.monotonic()
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f"{name}-", dir=program.parent)
        os.close(handle)
    except OSError as error:
        raise CannotBuild(
            f"{name} cannot be built in {program.parent}: {error.strerror}; name another folder in "
            "XDG_CACHE_HOME"
        ) from error
    try:
        _run([compiler, *_FLAGS, "-o", scratch, str(source)], f"cannot build {name}")
        os.chmod(scratch, 0o755)
        os.replace(scratch, program)
    finally:
        Path(scratch).unlink(missing_ok=True)
    print(
        f"{name}: built with {compiler} in {time.monotonic() - began_s:.1f} s, kept as {program}",
        file=sys.stderr,
    )


def _run(command: list[str], failed: str) -> subprocess.CompletedProcess[str]:
    """The output of a compiler. Raises `CannotBuild` with its first error."""
    compiler = command[0]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="backslashreplace",
            timeout=_BUILD_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuild(f"{compiler} {failed}: {error}; name another in CXX") from error
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        reason = next((line for line in lines if "error" in line), "no reason given")
        raise CannotBuild(f"{compiler} {failed}: {reason.strip()}; name another in CXX")
    return done
