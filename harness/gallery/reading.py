"""Gallery files read back. They come from strangers: each is whole and within its schema, or
refused in a sentence; nothing of it is ever run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.foreign import read_json, short
from harness.core.metrics import BY_PATH
from harness.core.wording import counted
from harness.gallery.record import GALLERY_SCHEMA, Entry

MOST_BYTES = 1 << 20  # some thirty times what a sweep takes
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}|(?<![\w:])([0-9a-f]{1,4}:){3,}", re.IGNORECASE)


def read_entry(file: Path) -> Entry:
    """The record in a gallery file. Raises `LabError` with what is wrong and what to do."""
    try:
        found = read_json(file, MOST_BYTES)
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}; name a gallery file") from error
    except LabError as error:
        raise LabError(f"{file} is no gallery file: {error}; {_AGAIN}") from error
    if not isinstance(found, dict) or "gallery" not in found:
        what = "a run's record" if isinstance(found, dict) and "trials" in found else "another file"
        raise LabError(f"{file} is no gallery file but {what}; {_AGAIN}")
    if found["gallery"] != GALLERY_SCHEMA or isinstance(found["gallery"], bool):
        raise LabError(
            f"{file} has gallery schema {found['gallery']!r:.40}; this lab reads {GALLERY_SCHEMA}: "
            "export the run again with this version"
        )
    try:
        entry = msgspec.convert(found, Entry)
    except msgspec.ValidationError as error:
        raise LabError(f"{file} is not as a gallery file must be: {_told(error)}") from error
    wrong = next(_contradictions(entry), None)
    if wrong is not None:
        raise LabError(f"{file} cannot be of a run: {wrong}; {_AGAIN}")
    return entry


_AGAIN = "write one with labrun export RUN --format gallery"


def gallery_files(path: Path) -> list[Path]:
    """A file, or all of a folder. Raises `LabError` where there is none."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.json"))
    if not files:
        raise LabError(f"there is no gallery file in {path}; {_AGAIN}")
    return files


def entry_words(entry: Entry) -> str:
    """What is in it, in a line."""
    machine, levels = entry.machine, {found.rps for found in entry.comparisons}
    model = machine.cpu_model or "a CPU of no name"
    names = " against ".join(arm.name for arm in reversed(entry.arms))
    return (
        f"{names} at {counted(len(levels), 'level')}, {machine.cpu_count} x {model}, "
        f"Linux {machine.kernel}"
    )


def _told(error: msgspec.ValidationError) -> str:
    """In words, without the expressions that texts are checked by."""
    text = str(error)
    if "matching regex" in text:
        _, _, place = text.rpartition(" - at ")
        return f"the text at {place or '`$`'} has letters that no name of a machine or server has"
    return short(text)


def _contradictions(entry: Entry) -> Iterator[str]:
    try:
        datetime.strptime(entry.created, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        yield f"there is no {entry.created!r}"
    texts = [*(arm.name for arm in entry.arms), entry.machine.kernel]
    for text in texts:
        if _ADDRESS.search(text):
            yield f"{text!r} looks like an address, which nobody needs to know"
    if len({arm.name for arm in entry.arms}) < len(entry.arms):
        yield "it has two servers of one name"
    arms = {cell.arm for cell in entry.cells} | {found.arm for found in entry.comparisons}
    if arms and max(arms) >= len(entry.arms):
        yield f"it has figures of server {max(arms) + 1} and {len(entry.arms)} servers"
    seen = set()
    for found in entry.comparisons:
        what = (found.arm, found.rps, found.metric)
        if what in seen:
            yield f"it has {found.metric} at {found.rps:g} RPS twice"
        seen.add(what)
        if not _in_order(found.ci_low, found.ratio, found.ci_high):
            yield f"its ratio of {found.metric} lies outside its interval"
        if found.metric in BY_PATH and None in (found.ratio, found.ci_low, found.ci_high):
            told = {"better", "worse", "more", "fewer"}
            if found.verdict in told and not found.beyond:
                yield f"it has a verdict on {found.metric} without an interval"


def _in_order(low: float | None, value: float | None, high: float | None) -> bool:
    known = [end for end in (low, value, high) if end is not None]
    return known == sorted(known)
