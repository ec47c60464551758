"""What a metric is: JSON to a plain value (decode), a plain value to metrics (validate)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from servers.problem import Problem

MAX_BATCH = 1000

Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_.:/-]{0,199}\Z")]
Tags = Annotated[dict[str, str], msgspec.Meta(max_length=32)]


class Metric(msgspec.Struct, frozen=True):
    """One measurement. `timestamp` is in Unix seconds."""

    name: Name
    value: float
    timestamp: float | None = None
    tags: Tags | None = None


Batch = Annotated[list[Metric], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


def decode(body: bytes | bytearray) -> Any:
    """The JSON value in `body`. Raises `Problem` 400 when it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise Problem(400, "The body is nested too deeply.") from error
    except UnicodeDecodeError as error:
        raise Problem(400, "The body is not UTF-8.") from error
    except msgspec.MsgspecError as error:
        raise Problem(400, f"The body is not JSON that can be read: {error}.") from error


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
