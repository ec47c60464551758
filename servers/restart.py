"""The order of `POST /restart` on the control port; `servers.supervisor` carries it out."""

from __future__ import annotations

import argparse
import json
import sys

import msgspec

from servers.options import CHOSEN, build_parser
from servers.registry import available

_CHOSEN = {option.flag for option in CHOSEN.values()}


class CannotRestart(Exception):
    """The restart that was asked for is impossible; the sentence says why."""


class Restart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /restart: a backend by name, and options of `python -m servers`."""

    backend: str
    arguments: list[str] = []


# Made before there are threads: msgspec lets them see a Struct that it has half worked out.
_ORDER = msgspec.json.Decoder(Restart)


def read_restart(body: bytes, current: str) -> Restart:
    """The order in `body`. `current`: the backend that runs now. Raises `CannotRestart`."""
    try:
        order = _ORDER.decode(body)
    except msgspec.MsgspecError as error:
        raise CannotRestart(f"POST /restart takes a backend and its arguments: {error}") from error
    for argument in order.arguments:
        if argument.partition("=")[0] not in _CHOSEN:
            raise CannotRestart(f"{argument!r} is not for the control port to choose")
    # What is neither installed nor running is code to load: for whoever has the machine to decide.
    if order.backend not in {current, *available()}:
        there = ", ".join(sorted(available()))
        raise CannotRestart(f"there is no backend {order.backend!r} here; there are {there}")
    try:
        build_parser("restart", exit_on_error=False).parse_args([order.backend, *order.arguments])
    except (ValueError, argparse.ArgumentError) as error:
        raise CannotRestart(str(error)) from error
    return order


def announce_restart(order: Restart) -> None:
    """The last line of a server that is to be followed by another."""
    print(json.dumps({"restart": msgspec.to_builtins(order)}), flush=True)


def main(current: str) -> int:
    """Read an order from standard input for a server in C++, and announce it. Exit status 1, and
    why, for one that cannot be."""
    try:
        announce_restart(read_restart(sys.stdin.buffer.read(), current))
    except CannotRestart as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
