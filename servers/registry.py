"""Backends by name: those of this project, two of them also in C++, installed plugins, and
`module:Class`."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from importlib.metadata import entry_points

from servers.backend import Backend
from servers.native.build import NATIVE

ENTRY_POINT_GROUP = "metricstream_lab.backends"
BUILT_IN = {
    "thread-per-request": "servers.thread_per_request:ThreadPerRequest",
    "thread-pool": "servers.thread_pool:ThreadPoolBackend",
    "event-loop": "servers.event_loop:EventLoop",
    "prefork": "servers.prefork:Prefork",
}


class UnknownBackend(ValueError):
    """There is no backend of that name, or what was named is none."""


def available() -> dict[str, str]:
    """Name -> `module:Class`, or a source in C++, of every backend that can be named without its
    module."""
    plugins = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINT_GROUP)}
    native = {name: f"servers/native/{source}" for name, source in NATIVE.items()}
    return plugins | native | BUILT_IN


def must_exist(name: str) -> None:
    """Raises `UnknownBackend` for what no server can be started with."""
    if name not in NATIVE:
        resolve(name)


def resolve(name: str) -> type[Backend]:
    """The class behind `name`, of a backend in Python. Raises `UnknownBackend` with the names that
    come near, or with the hooks that the class lacks."""
    known = available()
    target = known.get(name, name)
    module_name, colon, class_name = target.partition(":")
    if not colon:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
        raise UnknownBackend(
            f"there is no backend {name!r}; did you mean {' or '.join(near)}? "
            "(a plugin is named as module:Class)"
        )
    # A plugin may lie in the current folder. It comes last, so that it shadows nothing.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownBackend(f"the backend {name!r} cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise UnknownBackend(f"{name!r} is no subclass of servers.backend.Backend")
    if found.__abstractmethods__:
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise UnknownBackend(
            f"the backend {name!r} lacks {lacking}; docs/plugins.md says what each is to do"
        )
    return found
