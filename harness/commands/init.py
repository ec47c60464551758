"""`labrun init`: a repository's own labrun.toml, and a workflow for its changes."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.text import visible
from harness.session.servers import SERVERS_FILE, ServersTyped, parse_servers
from harness.store import cannot_write

LAB = "metricstream-lab"
WORKFLOW = Path(".github/workflows/labrun.yml")
_TOML = """\
# The servers of this repository, for labrun (docs/any-server.md of MetricStream lab).
# labrun compare --server {name} --server OTHER; labrun backends lists these tables.
[servers.{key}]
command = {command}
# cwd = "build"
# env = {{ WORKERS = "4" }}
# ready = "GET:/healthz"
# ready_timeout = 20

[request]
request = "GET /"
expect = "200"
"""
_YAML = """\
# Each change against the branch that it goes to. Written by labrun init.
name: labrun
on: pull_request
permissions:
  contents: read
jobs:
  regress:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v6
        with:
          fetch-depth: 0
      - uses: actions/setup-python@v6
        with:
          python-version: "3.12"
      - run: {install}
      - name: Old against new
        env:
          BASE: ${{{{ github.base_ref }}}}
        run: labrun regress --against-ref "origin/$BASE" --server {name} --build {build}
"""


_LIKE = f"--lab 'git+https://HOST/REPOSITORY', the https:// address of a wheel, or {LAB}"


def init_command(server: str, build: str, lab: str | None) -> int:
    """Write both files, which must not be there; 0. `lab`: what pip is to install the lab from.
    Raises `LabError`."""
    if "=" not in server:
        raise LabError(f"--server {server!r} is no name and command; write it like NAME=COMMAND")
    (found,) = parse_servers(ServersTyped(server=[server]), [])
    if "\n" in build or not build.strip():
        raise LabError("--build is one command on one line, like make")
    for file in (Path(SERVERS_FILE), WORKFLOW):
        if file.exists():
            raise LabError(f"{file} is there already; move it away to have it written anew")
    requirement = installed_from() if lab is None else checked_lab(lab)
    command = shlex.join(found.command).replace("'{port}'", "{port}")
    key = json.dumps(found.name, ensure_ascii=False)
    texts = {
        Path(SERVERS_FILE): _TOML.format(
            name=shlex.quote(found.name), key=key, command=json.dumps(command, ensure_ascii=False)
        ),
        WORKFLOW: _YAML.format(
            name=shlex.quote(found.name), build=shlex.quote(build),
            install=json.dumps(f"pip install {shlex.quote(requirement)}", ensure_ascii=False),
        ),
    }  # fmt: skip
    for file, text in texts.items():
        _write(file, text)
        print(f"wrote {file}")
    print(f"Try it: labrun regress --against-ref HEAD --server {shlex.quote(found.name)} "
          f"--build {shlex.quote(build)}")  # fmt: skip
    return 0


class _Origin(msgspec.Struct):
    """`direct_url.json` of an installed distribution (PEP 610)."""

    url: str
    vcs_info: dict[str, str] = {}


def installed_from() -> str:
    """What pip installs this very lab from. Raises `LabError` where another machine cannot know."""
    try:
        installed = distribution(LAB)
    except PackageNotFoundError as error:
        raise LabError(
            f"this lab runs from its source and is not installed, so the workflow cannot know "
            f"what to install; add {_LIKE}"
        ) from error
    return requirement_of(installed.read_text("direct_url.json"), installed.version)


def requirement_of(direct_url: str | None, version: str) -> str:
    """The requirement of a distribution, by its `direct_url.json`, which one that came from an
    index by its name has not. Raises `LabError` for one that came from a file."""
    if direct_url is None:
        return f"{LAB}=={version}"
    origin = msgspec.json.decode(direct_url, type=_Origin)
    if origin.url.startswith("file:"):
        raise LabError(
            f"this lab was installed from {visible(origin.url, keep='')}, which is on this machine "
            f"alone, so the workflow cannot install it; add {_LIKE}"
        )
    if not origin.vcs_info:
        return f"{LAB} @ {origin.url}"
    return f"{LAB} @ {origin.vcs_info['vcs']}+{origin.url}@{origin.vcs_info['commit_id']}"


def checked_lab(text: str) -> str:
    """What was typed, if pip can install it where the workflow runs. Raises `LabError`."""
    if text.endswith(".whl") and "://" not in text:
        file = Path(text)
        if file.is_absolute() or ".." in file.parts or not file.is_file():
            raise LabError(f"--lab {visible(text, keep='')}: there is no such wheel in this "
                           "repository; name one by its path in it, or by its address")  # fmt: skip
        return text
    known = ("git+https://", "git+ssh://", "https://", "http://", LAB)
    if not text.startswith(known) or not text.isprintable():
        raise LabError(f"--lab {visible(text, keep='')!r} is nothing that pip could install "
                       f"elsewhere; write it like {_LIKE}")  # fmt: skip
    return f"{LAB} @ {text}" if "://" in text and not text.startswith(LAB) else text


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise cannot_write(file, error) from error
