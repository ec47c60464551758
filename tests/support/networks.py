"""Several machines on this one: network namespaces on a bridge, each with an address of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

_NUMBERS = itertools.count()


class NoNamespaces(Exception):
    """They cannot be made here; why."""


class Machine:
    """One namespace. What is started in it sees its network alone."""

    def __init__(self, namespace: str, address: str, cable: str, switch: str) -> None:
        self.namespace = namespace
        self.address = address
        self._cable, self._switch = cable, switch
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self, *arguments: str, out: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Python with arguments; what it says goes to `out`."""
        with out.open("wb") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, sys.executable, "-P", *arguments],
                stdout=file, stderr=subprocess.STDOUT, env=os.environ | (env or {}),
                cwd=out.parent, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def cut(self) -> None:
        """Pull the cable: nothing is refused, nothing comes."""
        _ip("-n", self._switch, "link", "set", self._cable, "down")

    def end(self) -> None:
        """Whatever still runs in it."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass  # it went by itself
        for started in self._started:
            started.wait()

    def processes(self) -> list[psutil.Process]:
        """All that run in it."""
        found = _ip("netns", "pids", self.namespace).split()
        return [psutil.Process(int(pid)) for pid in found if psutil.pid_exists(int(pid))]


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many of them, 10.77.0.1 first, on one switch. Raises `NoNamespaces`."""
    if shutil.which("ip") is None:
        raise NoNamespaces("there is no ip command (iproute2)")
    prefix = f"lab{os.getpid()}x{next(_NUMBERS)}"
    switch, made = f"{prefix}s", list[str]()
    found: list[Machine] = []
    try:
        try:
            _add(switch, made)
            _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
            _ip("-n", switch, "link", "set", "bridge", "up")
            for number in range(1, count + 1):
                found.append(_connect(prefix, number, made))
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip()
            raise NoNamespaces(f"there can be no network namespaces here: {said}") from error
        yield found
    finally:
        for machine in found:
            machine.end()
        for name in made:
            _ip("netns", "del", name)


def _connect(prefix: str, number: int, made: list[str]) -> Machine:
    switch, name = f"{prefix}s", f"{prefix}n{number}"
    cable, address = f"port{number}", f"10.77.0.{number}"
    _add(name, made)
    _ip("-n", switch, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("-n", switch, "link", "set", cable, "master", "bridge", "up")
    _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    return Machine(name, address, cable, switch)


def _add(name: str, made: list[str]) -> None:
    _ip("netns", "add", name)
    made.append(name)
    _ip("-n", name, "link", "set", "lo", "up")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout
