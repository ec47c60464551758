"""The servers under another Python: 3.12, 3.13, a build without the GIL.

Only the servers run under it. Generator, sampler and analysis stay the lab's own, so that what
differs between two runs is the interpreter of the servers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
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
# Asked after the imports: an extension that is not ready for it switches the GIL on again.
_QUESTION = """
import json, platform, sys, sysconfig
from importlib import import_module, metadata
missing, packages = [], {}
for name in ("httptools", "msgspec"):
    try:
        import_module(name)
        packages[name] = metadata.version(name)
    except ImportError:
        missing.append(name)
print(json.dumps({
    "version": list(sys.version_info[:3]), "implementation": platform.python_implementation(),
    "build": " ".join(platform.python_build()) + ", " + platform.python_compiler(),
    "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "gil_enabled": getattr(sys, "_is_gil_enabled", lambda: True)(),
    "missing": missing, "packages": packages,
}))
"""


class _Answer(msgspec.Struct, frozen=True):
    version: tuple[int, int, int]
    implementation: str
    build: str
    free_threaded_build: bool
    gil_enabled: bool
    missing: list[str]
    packages: dict[str, str]


def examine_python(path: str) -> Interpreter:
    """Version and build of the interpreter at `path`, asked of itself.

    Raises `LabError` when it is none, too old, or has not the packages that the servers import.
    """
    name = f"--python {path}"
    try:
        done = subprocess.run(
            [path, "-c", _QUESTION],
            capture_output=True, text=True, errors="surrogateescape",
            timeout=_ASK_S, check=False, start_new_session=True,
        )  # fmt: skip
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except OSError as error:
        raise LabError(f"{name} cannot be run ({error.strerror}); name a Python") from error
    except (subprocess.TimeoutExpired, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LabError(
            f"{name} does not answer as a Python does; name one, 3.11 or newer"
        ) from error
    version = ".".join(map(str, answer.version))
    if answer.version[:2] < _LEAST:
        raise LabError(f"{name} is Python {version}, and the servers need 3.11 or newer")
    if answer.missing:
        names = " ".join(answer.missing)
        raise LabError(
            f"{name} has no {' and no '.join(answer.missing)}, which the servers import; "
            f"install them: {path} -m pip install {names}"
        )
    return Interpreter(
        version=f"{answer.implementation} {version}",
        build=answer.build,
        free_threaded_build=answer.free_threaded_build,
        gil_enabled=answer.gil_enabled,
        packages=answer.packages,
    )


@contextmanager
def servers_under(path: str, interpreter: Interpreter) -> Iterator[ServerSource]:
    """The lab's own servers, run by the interpreter at `path`.

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
            interpreter.version, folder, python=path, advice="name another --python"
        )
        yield known_options(source)
