"""Where a server's code comes from: this checkout, or a commit checked out beside it.

A tree is measured by starting `python -m servers` with that folder first on the module path; the
generator, the sampler and the analysis are always the ones of the lab that is running.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.core.errors import LabError, ServerRefused
from harness.core.record import Source
from harness.machine.child_process import ProcessDied
from harness.targets.control_client import ControlClient, ControlLost
from harness.targets.processes import ServerProcess
from servers.options import parse_options

_HELP_S = 30.0
_INSTALL_S = 600.0


@dataclass(frozen=True, slots=True)
class ServerSource:
    """A folder with a package `servers` in it, and how it is run.

    `label` is what people read; `options` are the options its server knows; `started_in`: where it
    starts, if not in the folder.
    """

    label: str
    folder: Path
    commit: str | None = None
    dirty: bool = False
    python: str = sys.executable
    options: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    advice: str = "name a later ref"  # what to do when its server cannot be run
    started_in: Path | None = None

    @property
    def where(self) -> Path:
        """The folder in which its server starts."""
        return self.started_in or self.folder

    def record(self, slot: int) -> Source:
        """Its entry in the record, for one slot."""
        return Source(
            slot=slot,
            label=self.label,
            commit=self.commit,
            dirty=self.dirty,
            packages=list(self.packages),
        )

    def accepted(self, arguments: list[str]) -> list[str]:
        """The command line without what this server does not know and would do anyway.

        `arguments` begins with the backend. Raises `LabError` for an option that this server does
        not have and that asks for something other than the default.
        """
        backend, *options = arguments
        kept = [backend]
        for option in options:
            name = option.partition("=")[0]
            if name in self.options:
                kept.append(option)
            elif parse_options([backend, option], "labrun") != parse_options([backend], "labrun"):
                raise LabError(
                    f"the server of {self.label} has no {name}, which these settings need; "
                    f"leave {name} at its default or name a later ref"
                )
        return kept

    def environment(self) -> dict[str, str]:
        """The environment of its server: its folder first among the modules."""
        others = os.environ.get("PYTHONPATH")
        path = str(self.folder) + (os.pathsep + others if others else "")
        return {**os.environ, "PYTHONPATH": path}


def prepare(source: ServerSource, scratch: Path) -> ServerSource:
    """The source with the options that its server knows and a Python that has its packages.

    Nothing is installed where what is installed now serves; else a venv is made below `scratch`
    with the packages that its servers import. Raises `LabError` when these cannot be installed, and
    `ServerRefused` when its server cannot be run.
    """
    wanted = differing(source.folder)
    if wanted:
        python = _make_venv(source, scratch / "venv", wanted)
        source = replace(source, python=python, packages=tuple(wanted))
    return known_options(source)


def known_options(source: ServerSource) -> ServerSource:
    """The source with the options that its server knows, started once to see that it can be driven.

    Raises `ServerRefused` when it cannot.
    """
    options = _listed(source)
    for needed in ("--port", "--exit-with-parent"):
        if needed not in options:
            raise ServerRefused(
                f"the server of {source.label} has no {needed}, without which the lab cannot "
                f"drive it; {source.advice}"
            )
    source = replace(source, options=options)
    _must_report(source)
    return source


def _listed(source: ServerSource) -> frozenset[str]:
    """The options that its server knows: by its own list, or, of a tree from before there was one,
    those that its help names. Raises `ServerRefused`."""
    try:
        listed = msgspec.json.decode(_said(source, "--options").stdout, type=list[_Listed])
        return frozenset(option.name for option in listed)
    except msgspec.MsgspecError:
        done = _said(source, "--help")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ServerRefused(f"the server of {source.label} cannot be run: {last}; {source.advice}")
    return frozenset(re.findall(r"--[a-z][a-z-]*", done.stdout))


class _Listed(msgspec.Struct, frozen=True):
    """One option of `python -m servers --options`, as far as it is needed here."""

    name: str


def _said(source: ServerSource, option: str) -> subprocess.CompletedProcess[str]:
    """Output of its server when run with one option that ends it. Raises `ServerRefused`."""
    try:
        return subprocess.run(
            [source.python, "-P", "-m", "servers", option],
            cwd=source.where,
            env=source.environment(),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_HELP_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerRefused(
            f"the server of {source.label} did not answer {option} in time"
        ) from error


def _must_report(source: ServerSource) -> None:
    """Start its server once and read its report. Raises `ServerRefused` when the lab cannot."""
    try:
        with (
            ServerProcess(
                source.accepted(["thread-pool"]),
                source.python,
                source.where,
                source.environment(),
            ) as server,
            ControlClient("127.0.0.1", server.ready.control_port) as control,
        ):
            control.open_window()
            server.drain()
    except (LabError, ControlLost, ProcessDied, msgspec.MsgspecError) as error:
        raise ServerRefused(
            f"the server of {source.label} cannot be driven by this lab ({error}); {source.advice}"
        ) from error


def differing(folder: Path) -> list[str]:
    """The packages that a tree's servers need and this Python lacks: `msgspec==0.18.6`, one a line.

    Only packages that `servers` imports count: nothing else of that tree is run. A version pinned
    in its constraints.txt must be the one installed; without a pin, pyproject.toml must allow it.
    """
    required, pins = _required(folder), _pins(folder)
    wanted = []
    for name in sorted(_imported(folder)):
        requirement = required.get(name)
        if requirement is None:
            continue  # not a package of its own, or one that came with another
        installed = _installed(name)
        pin = pins.get(name)
        if pin is not None and pin != installed:
            wanted.append(f"{name}=={pin}")
        elif installed is None or not requirement.specifier.contains(installed, prereleases=True):
            wanted.append(str(requirement))
    return wanted


def _imported(folder: Path) -> set[str]:
    """Top-level modules that `servers` imports, without the standard library."""
    names: set[str] = set()
    for file in (folder / "servers").rglob("*.py"):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError) as error:
            raise ServerRefused(
                f"{file.relative_to(folder)} cannot be read as Python: {error}"
            ) from error
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module.partition(".")[0])
    own = names - sys.stdlib_module_names - {"servers"}
    return {canonicalize_name(name) for name in own}


def _required(folder: Path) -> dict[str, Requirement]:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        found = [Requirement(text) for text in project["project"]["dependencies"]]
    except (OSError, KeyError, TypeError, ValueError, InvalidRequirement):
        return {}  # a tree that does not say what it needs is tried as it is
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def _pins(folder: Path) -> dict[str, str]:
    file = folder / "constraints.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    pairs = (line.partition("#")[0].strip().partition("==") for line in lines)
    return {canonicalize_name(name): version for name, found, version in pairs if found}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _make_venv(source: ServerSource, folder: Path, wanted: list[str]) -> str:
    """A Python with the packages wanted. Raises `LabError` when they cannot be installed."""
    python = str(folder / "bin" / "python")
    need = f"{source.label} needs {', '.join(wanted)}, which differ from what is installed"
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
    ):
        try:
            subprocess.run(
                command, capture_output=True, text=True, errors="surrogateescape",
                timeout=_INSTALL_S, check=True,
                start_new_session=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise LabError(
                f"{need}, and they cannot be installed beside it ({_last_line(error)}); "
                "install them, or name a later ref"
            ) from error
    return python


def _last_line(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text.strip().splitlines()[-1]
