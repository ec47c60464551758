"""`labrun init`: a repository's own labrun.toml, and a workflow for its changes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from harness.core.errors import LabError
from harness.session.servers import SERVERS_FILE, ServersTyped, parse_servers
from harness.store import cannot_write

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
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install metricstream-lab
      - name: Old against new
        env:
          BASE: ${{{{ github.base_ref }}}}
        run: labrun regress --against-ref "origin/$BASE" --server {name} --build {build}
"""


def init_command(server: str, build: str) -> int:
    """Write both files, which must not be there; 0. Raises `LabError`."""
    if "=" not in server:
        raise LabError(f"--server {server!r} is no name and command; write it like NAME=COMMAND")
    (found,) = parse_servers(ServersTyped(server=[server]), [])
    if "\n" in build or not build.strip():
        raise LabError("--build is one command on one line, like make")
    command = shlex.join(found.command).replace("'{port}'", "{port}")
    key = json.dumps(found.name, ensure_ascii=False)
    texts = {
        Path(SERVERS_FILE): _TOML.format(
            name=shlex.quote(found.name), key=key, command=json.dumps(command, ensure_ascii=False)
        ),
        WORKFLOW: _YAML.format(name=shlex.quote(found.name), build=shlex.quote(build)),
    }
    for file in texts:
        if file.exists():
            raise LabError(f"{file} is there already; move it away to have it written anew")
    for file, text in texts.items():
        _write(file, text)
        print(f"wrote {file}")
    print(f"Try it: labrun regress --against-ref HEAD --server {shlex.quote(found.name)} "
          f"--build {shlex.quote(build)}")  # fmt: skip
    return 0


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise cannot_write(file, error) from error
