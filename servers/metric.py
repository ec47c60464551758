"""Metrics: JSON to a plain value (decode), a plain value to metrics (validate)."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import msgspec

from servers.problem import Problem

MAX_BATCH = 1000
# A batch of metrics with tags is 3 deep. The decoder recurses on the stack of its thread, so what
# a client may nest must fit into the smallest one (--stack-size 32KiB), or it ends the process.
MAX_NESTING = 16
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_CONTAINERS = frozenset((dict, list))
_BEYOND_DOUBLES = msgspec.json.Decoder(float_hook=float)
# An integer that the decoder does not take for its length, outside strings.
_LONG_INTEGER = re.compile(
    rb'(?P<string>"(?:[^"\\]|\\.)*")|(?<![0-9.+])(?<![eE])(?<![eE]-)[1-9][0-9]{4000,}(?![0-9.eE])',
    re.DOTALL,
)

Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_.:/-]{0,199}\Z")]
# JSON has numbers beyond a double, which become infinite. NaN is within no bounds either.
Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Tags = Annotated[dict[str, str], msgspec.Meta(max_length=32)]


class Metric(msgspec.Struct, frozen=True):
    """One measurement. `timestamp` is in Unix seconds."""

    name: Name
    value: Finite
    timestamp: Finite | None = None
    tags: Tags | None = None


Batch = Annotated[list[Metric], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
# msgspec works out a Struct at its first use and lets other threads see it half done, which ends
# the process (SIGSEGV, msgspec 0.22.0). So that first use is here, before there are threads.
msgspec.json.Decoder(Metric)


def decode(body: bytes | bytearray) -> Any:
    """The JSON value in `body`. Raises `Problem` 400 when it is not JSON."""
    if body.count(b"[") + body.count(b"{") > MAX_NESTING and _is_deep(body):
        raise Problem(400, f"The body is nested over {MAX_NESTING} deep, or lacks a bracket.")
    try:
        value = msgspec.json.decode(body)
    except msgspec.ValidationError:  # a number beyond a double: JSON all the same
        value = _decode_beyond_doubles(body)
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise _not_json(error) from error
    # The decoder keeps the last of two equal keys. Each key has its colon, so one is missing then.
    keys = _count_keys(value)
    if body.count(b":") != keys and _outside_strings(body).count(b":") != keys:
        raise Problem(400, "The body has an object with a key twice.")
    return value


def _decode_beyond_doubles(body: bytes | bytearray) -> Any:
    """The same, slower, where numbers beyond a double are infinite."""
    try:
        return _BEYOND_DOUBLES.decode(_LONG_INTEGER.sub(_as_infinite, body))
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise _not_json(error) from error


def _as_infinite(found: re.Match[bytes]) -> bytes:
    return found["string"] or b"1e999"


def _not_json(error: Exception) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        return Problem(400, "The body is not UTF-8.")
    return Problem(400, f"The body is not JSON that can be read: {error}.")


def _is_deep(body: bytes | bytearray) -> bool:
    """Whether `body` is nested over the limit; also when its brackets do not match."""
    brackets = _outside_strings(body).translate(_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_NESTING):  # each time the innermost pairs go
        left = brackets.replace(b"[]", b"")
        if len(left) in (0, len(brackets)):
            return bool(left)
        brackets = left
    return True


def _outside_strings(body: bytes | bytearray) -> bytes:
    """`body` without its strings, as far as it is JSON."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2])


def _count_keys(value: Any) -> int:
    """How many keys all the objects in `value` have together."""
    kind = type(value)
    if kind is dict:
        count = len(value)
        for item in value.values():
            if type(item) in _CONTAINERS:
                count += _count_keys(item)
        return count
    return sum(map(_count_keys, value)) if kind is list else 0


def validate(value: Any) -> int:
    """How many metrics `value` holds. Raises `Problem` 422 with the path of the field at fault."""
    try:
        if isinstance(value, list):
            return len(msgspec.convert(value, Batch))
        msgspec.convert(value, Metric)
        return 1
    except msgspec.ValidationError as error:
        # msgspec words it as "what was expected - at `$.path`"; without a path it is the root.
        reason, _, path = str(error).partition(" - at ")
        path = path.strip("`") or "$"
        raise Problem(422, f"{reason} at {path}.", path=path) from error
