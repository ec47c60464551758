"""The servers under another Python: 3.12, 3.13, a build without the GIL.

Only the servers run under it. Generator, sampler and analysis stay the lab's own, so that what
differs between two runs, or two arms of one, is the interpreter of the servers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from harness.core.errors import LabError
from harness.core.record import Interpreter
from harness.targets.server_code import ServerSource, known_options

_LEAST = (3, 11)
_ASK_S = 30.0
_ASKED_AT_ONCE = 4
_VERSION = re.compile(r"3(\.\d+t?)?")
_SHIMS = "shims"  # the folder of a manager's stand-ins for whichever Python is chosen
_INTERPRETER = re.compile(r"(python|pypy)3(\.\d+t?)?")
# Asked after the imports: an extension that is not ready for it switches the GIL on again.
_QUESTION = """
import json, os, platform, sys, sysconfig
from importlib import import_module, metadata
gil = getattr(sys, "_is_gil_enabled", lambda: True)
marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
missing, packages, switched_on_by = [], {}, None
for name in ("httptools", "msgspec"):
    before = gil()
    try:
        import_module(name)
        packages[name] = metadata.version(name)
    except ImportError:
        missing.append(name)
    if gil() and not before:
        switched_on_by = name
print(json.dumps({
    "version": list(sys.version_info[:3]), "implementation": platform.python_implementation(),
    "build": " ".join(platform.python_build()) + ", " + platform.python_compiler(),
    "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "gil_enabled": gil(), "gil_enabled_by": switched_on_by,
    "missing": missing, "packages": packages, "executable": sys.executable,
    "managed": sys.prefix == sys.base_prefix and os.path.exists(marker),
}))
"""


class Answer(msgspec.Struct, frozen=True):
    """What an interpreter says of itself. `missing`: the packages of the servers that it lacks;
    `managed`: pip may install nothing into it, since the distribution does."""

    version: tuple[int, int, int]
    implementation: str
    build: str
    free_threaded_build: bool
    gil_enabled: bool
    missing: list[str]
    packages: dict[str, str]
    executable: str
    managed: bool
    gil_enabled_by: str | None = None

    @property
    def called(self) -> str:
        """`CPython 3.13.0`."""
        return f"{self.implementation} {'.'.join(map(str, self.version))}"

    @property
    def too_old(self) -> bool:
        """Whether the servers cannot run under it."""
        return self.version[:2] < _LEAST


def ask(path: str) -> Answer:
    """Ask the interpreter at `path` what it is.

    Raises OSError when it cannot be run, ValueError when it does not answer as a Python does.
    """
    try:
        done = subprocess.run(
            [path, "-c", _QUESTION],
            capture_output=True, text=True, errors="surrogateescape",
            timeout=_ASK_S, check=False, start_new_session=True,
        )  # fmt: skip
        return msgspec.json.decode(done.stdout, type=Answer)
    except (subprocess.TimeoutExpired, msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError("it does not answer as a Python does") from error


def examine_python(typed: str, option: str = "--python") -> Interpreter:
    """Version and build of the interpreter that a person named, by its path, its name or its
    version, asked of itself.

    Raises `LabError` when it is none, too old, or has not the packages that the servers import.
    """
    name = f"{option} {typed}"
    path, answer = _first_that_answers(name, typed)
    version = ".".join(map(str, answer.version))
    if answer.too_old:
        raise LabError(f"{name} is Python {version}, and the servers need 3.11 or newer")
    if answer.missing:
        raise LabError(
            f"{name} has no {' and no '.join(answer.missing)}, which the servers import; "
            f"{mending(path, answer)}"
        )
    return Interpreter(
        version=answer.called,
        build=answer.build,
        free_threaded_build=answer.free_threaded_build,
        gil_enabled=answer.gil_enabled,
        packages=answer.packages,
        path=path,
        gil_enabled_by=answer.gil_enabled_by,
    )


def mending(path: str, answer: Answer) -> str:
    """How an interpreter gets the packages that it lacks."""
    packages = " ".join(answer.missing)
    if answer.free_threaded_build and answer.version[:2] == (3, 13):
        return "msgspec has no build for 3.13 without the GIL; take 3.14t, or 3.13 with the GIL"
    if answer.managed:
        folder = f".{Path(path).name}"
        return (
            f"its packages are the distribution's, so install them into a venv and name "
            f"{folder}/bin/python: {path} -m venv {folder} && {folder}/bin/python -m pip install "
            f"{packages}"
        )
    return f"install them: {path} -m pip install {packages}"


def _first_that_answers(name: str, typed: str) -> tuple[str, Answer]:
    """The path and the answer of the first candidate that is a Python; of a version, of the first
    that has what the servers import, if any has. Raises `LabError`, with the first candidate's
    reason, where none is a Python."""
    reason: OSError | ValueError | None = None
    found: tuple[str, Answer] | None = None
    for path in _candidates(typed):
        try:
            answer = ask(path)
        except (OSError, ValueError) as error:
            reason = reason or error
            continue
        # Which Python a shim starts depends on the folder that it is started in.
        shim = Path(path).parent.name == _SHIMS
        found = found or (answer.executable if shim else path, answer)
        if not answer.missing:
            return answer.executable if shim else path, answer
        if not _VERSION.fullmatch(typed):
            break
    if found is not None:
        return found
    raise _no_python(name, reason) from reason


def _no_python(name: str, reason: OSError | ValueError | None) -> LabError:
    if isinstance(reason, OSError):
        return LabError(f"{name} cannot be run ({reason.strerror}); name a Python")
    if reason is not None:
        return LabError(f"{name} does not answer as a Python does; name one, 3.11 or newer")
    return LabError(
        f"{name}: there is no such program here; name a Python (labrun doctor lists those that it "
        "finds)"
    )


def _candidates(typed: str) -> list[str]:
    """The paths that what a person typed may stand for."""
    if os.sep in typed:
        # The servers start in a folder of their own. A venv is what its path says, so no symbolic
        # link is followed.
        return [os.path.abspath(os.path.expanduser(typed))]
    names = [typed, f"python{typed}"] if _VERSION.fullmatch(typed) else [typed]
    found = [path for name in names if (path := shutil.which(name)) is not None]
    found += [str(each) for each in _programs() if each.name in names]
    return list(dict.fromkeys(map(os.path.abspath, found)))


def interpreters() -> list[Path]:
    """The programs called like a Python 3: where the lab's own is, of the folders of PATH, then of
    pyenv, asdf and uv. Of several names for one file in one folder, the longest. They were not
    asked whether they are one."""
    found: dict[tuple[Path, Path], Path] = {}
    for path in _programs():
        found.setdefault((path.parent.resolve(), path.resolve()), path)
    return list(found.values())


class FoundPython(msgspec.Struct, frozen=True, kw_only=True):
    """A Python of this machine, as `labrun doctor` lists it. `missing`: the packages of the servers
    that it lacks; `mend`: how it gets them; None where it has them, or is too old for any."""

    path: str
    version: str
    free_threaded_build: bool
    gil_enabled: bool
    missing: list[str]
    too_old: bool
    mend: str | None


def found_pythons() -> list[FoundPython]:
    """Every interpreter that is found here and answers, in the order of their versions."""
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as asking:
        answers = list(asking.map(_asked, interpreters()))
    found = [answer for answer in answers if answer is not None]
    found.sort(key=lambda each: (each[1].version, each[1].free_threaded_build))
    return [_found(path, answer) for path, answer in found]


def _asked(path: Path) -> tuple[str, Answer] | None:
    try:
        return str(path), ask(str(path))
    except (OSError, ValueError):
        return None


def _found(path: str, answer: Answer) -> FoundPython:
    fits = answer.too_old or not answer.missing
    return FoundPython(
        path=path,
        version=answer.called,
        free_threaded_build=answer.free_threaded_build,
        gil_enabled=answer.gil_enabled,
        missing=answer.missing,
        too_old=answer.too_old,
        mend=None if fits else mending(path, answer),
    )


def _programs() -> Iterator[Path]:
    """The same, by all of their names."""
    folders = [Path(folder) for folder in os.get_exec_path() if os.path.isabs(folder)]
    folders.insert(0, Path(sys.executable).parent)
    for folder in [*folders, *_installed_by_managers(folders)]:
        if folder.name != _SHIMS:  # each starts one of those that its manager has installed
            yield from sorted(_in(folder), key=lambda path: (-len(path.name), path.name))


def _in(folder: Path) -> list[Path]:
    """The programs of a folder that are called like a Python 3."""
    try:
        return [
            path
            for path in folder.iterdir()
            if _INTERPRETER.fullmatch(path.name) and os.access(path, os.X_OK)
        ]
    except OSError:
        return []


def _installed_by_managers(folders: Sequence[Path]) -> list[Path]:
    """The folders with the interpreters that pyenv, asdf and uv have installed: by the shims on
    the path, else where they put them by default."""
    home = Path(os.path.expanduser("~"))
    roots = [folder.parent for folder in folders if folder.name == _SHIMS]
    roots += [Path(os.environ.get("PYENV_ROOT") or home / ".pyenv"), home / ".asdf"]
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    above = [root / part for root in roots for part in ("versions", "installs/python")]
    above.append(Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python"))
    return [each for folder in dict.fromkeys(above) for each in sorted(folder.glob("*/bin"))]


@contextmanager
def servers_under(typed: str, interpreter: Interpreter) -> Iterator[ServerSource]:
    """The lab's own servers, run by an interpreter that was examined; `typed`: how it was named.

    Its own packages are used, so a folder with nothing in it but `servers` is put on its path.
    Raises `LabError` when the servers do not start there.
    """
    spec = find_spec("servers")
    if spec is None or spec.origin is None:
        raise LabError("the package servers is not installed; install the lab again")
    with TemporaryDirectory(prefix="labrun-") as scratch:
        folder = Path(scratch)
        (folder / "servers").symlink_to(Path(spec.origin).parent, target_is_directory=True)
        source = ServerSource(
            interpreter.version,
            folder,
            python=interpreter.path or typed,
            started_in=Path.cwd(),  # where a plugin may lie
            advice="name another Python",
        )
        yield known_options(source)
