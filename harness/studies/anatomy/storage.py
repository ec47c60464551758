"""`anatomy.json`, written and read back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.store import load_beside_run
from harness.store import write_json as write_file
from harness.studies.anatomy.account import ANATOMY_FILE, ANATOMY_SCHEMA, Anatomy


def save_anatomy(folder: Path, anatomy: Anatomy) -> None:
    """`anatomy.json`, into the run's folder. Raises `LabError` when it cannot be written."""
    write_file(folder / ANATOMY_FILE, as_json(anatomy))


def as_json(anatomy: Anatomy) -> bytes:
    return msgspec.json.format(msgspec.json.encode(anatomy), indent=1) + b"\n"


def saved_anatomy(folder: Path) -> Anatomy | None:
    """The record that `labrun anatomy` left in a run's folder. Raises `LabError` if unreadable."""
    return load_beside_run(
        folder / ANATOMY_FILE,
        Anatomy,
        ANATOMY_SCHEMA,
        "delete it, and make a new one with labrun anatomy",
    )
