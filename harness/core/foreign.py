"""JSON that may come from strangers: read whole, or refused in a sentence.

What is read can neither fill the memory, command a terminal that it is shown on, nor hold numbers
that nothing could have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.core.errors import LabError
from harness.core.text import visible

MOST_BYTES = 64 << 20  # some ten thousand trials
_LARGEST = 1e18  # nanoseconds of thirty years
_LONGEST_TOLD = 200


def read_json(file: Path, most_bytes: int = MOST_BYTES) -> Any:
    """The value in a JSON file, with texts on one line each and all of it visible. A file of more
    than `most_bytes` is not read.

    Raises OSError when it cannot be read, `LabError` with what is wrong with it, to be followed by
    what to do.
    """
    if file.exists() and not file.is_file():
        raise LabError("it is no file of data")
    if file.stat().st_size > most_bytes:
        raise LabError(f"it is larger than any that a run leaves ({most_bytes >> 20} MiB)")
    data = file.read_bytes()
    if not data.strip():
        raise LabError("it is empty")
    try:
        return harmless(msgspec.json.decode(data))
    except RecursionError:
        raise LabError("it is nested beyond any record") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cut = "truncated" in str(error)
        raise LabError("it is cut short" if cut else f"it is corrupt ({error})") from error


def harmless(value: Any) -> Any:
    """The same data, all text visible. Raises `LabError` for a number that nothing could have."""
    if isinstance(value, str):
        return visible(value, keep="")
    if isinstance(value, dict):
        return {harmless(key): harmless(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [harmless(inside) for inside in value]
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        raise LabError(f"it holds a number beyond any that could be measured ({value:.3g})")
    return value


def below_zero(value: Any, name: str = "") -> str | None:
    """The name of the first figure below 0, but for a gap, which has a direction; None where there
    is none."""
    if isinstance(value, dict):
        inside = (below_zero(each, key) for key, each in value.items())
        return next((found for found in inside if found is not None), None)
    if isinstance(value, list):
        inside = (below_zero(each, name) for each in value)
        return next((found for found in inside if found is not None), None)
    negative = isinstance(value, int | float) and value < 0 and not name.endswith("gap_us")
    return name if negative else None


def short(error: object) -> str:
    """The text of an error or a value, cut where it quotes a whole record."""
    told = str(error)
    return told if len(told) <= _LONGEST_TOLD else told[:_LONGEST_TOLD] + "..."
