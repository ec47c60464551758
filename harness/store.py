"""A run's folder: written atomically, complete or marked as partial, and read back."""

from __future__ import annotations

import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import pandas as pd
from pyarrow import parquet

from harness.core.errors import LabError
from harness.core.foreign import read_json, short
from harness.core.record import Run

RUN_FILE, REQUESTS_FILE, TIMELINE_FILE = "run.json", "requests.parquet", "timeline.parquet"
BLOCKS_FILE, TRACE_FILE = "blocks.parquet", "trace.parquet"
PARTS = ".parts"
LOGS = "servers"  # what servers of any kind printed
Record = TypeVar("Record")


class RunFolder:
    """The folder of one run. Raw rows are on disk after each trial, before anything can be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = 0
        self._parts_of: dict[float, list[int]] = {}

    @classmethod
    def create(cls, out: Path, name: str, now: datetime | None = None) -> RunFolder:
        """A new folder `<UTC time>-<name>` below `out`. Raises `LabError` if it cannot be had."""
        path = new_folder(out, name, now)
        try:
            (path / PARTS).mkdir()
        except OSError as error:
            raise cannot_write(out, error) from error
        return cls(path)

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    def forget_level(self, rps: float) -> None:
        """Take away the raw rows of a level that is measured again."""
        for part in self._parts_of.pop(rps, []):
            for kind in ("requests", "timeline"):
                (self.path / PARTS / f"{kind}-{part:04}.parquet").unlink(missing_ok=True)

    def add_trial(
        self, requests: pd.DataFrame, timeline: pd.DataFrame, trace: pd.DataFrame | None = None
    ) -> None:
        """Keep the raw rows of one trial. Raises `LabError` when the disk is full."""
        self._parts += 1
        if len(requests) and "level" in requests:
            self._parts_of.setdefault(float(requests["level"].iloc[0]), []).append(self._parts)
        for kind, frame in (("requests", requests), ("timeline", timeline)):
            self._write_frame(self.path / PARTS / f"{kind}-{self._parts:04}.parquet", frame)
        if trace is not None:
            self._write_frame(self.path / PARTS / f"trace-{self._parts:04}.parquet", trace)

    def save(self, run: Run) -> None:
        """Write `run.json`, replacing what was there."""
        write_whole(self.path / RUN_FILE, as_json(run))

    def save_blocks(self, blocks: pd.DataFrame) -> None:
        """Write a row for each block, where there are any. Raises `LabError`."""
        if len(blocks):
            self._write_frame(self.path / BLOCKS_FILE, blocks)

    def finish(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Merge the rows of all trials into the two parquet files; the frames."""
        frames = []
        for kind, name in (("requests", REQUESTS_FILE), ("timeline", TIMELINE_FILE)):
            parts = sorted((self.path / PARTS).glob(f"{kind}-*.parquet"))
            frame = _concatenate([read_rows(part) for part in parts])
            self._write_frame(self.path / name, frame)
            frames.append(frame)
        traces = sorted((self.path / PARTS).glob("trace-*.parquet"))
        if traces:
            self._write_frame(self.path / TRACE_FILE, _concatenate([*map(read_rows, traces)]))
        for part in (self.path / PARTS).iterdir():
            part.unlink()
        (self.path / PARTS).rmdir()
        return frames[0], frames[1]

    def discard_if_empty(self) -> None:
        """Take the folder away again when nothing was measured."""
        if self._parts == 0 and not (self.path / RUN_FILE).exists():
            shutil.rmtree(self.path / LOGS, ignore_errors=True)
            (self.path / PARTS).rmdir()
            self.path.rmdir()

    def _write_frame(self, path: Path, frame: pd.DataFrame) -> None:
        temporary = path.with_suffix(".tmp")
        try:
            with open(temporary, "wb") as file:  # whose name need not be UTF-8
                frame.to_parquet(file, index=False, compression="zstd")
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise cannot_write(path, error) from error


def new_folder(out: Path, name: str, now: datetime | None = None) -> Path:
    """Make an empty folder `<UTC time>-<name>` below `out`. Raises `LabError`."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    for number in range(1, 100):
        path = out / (f"{stamp}-{label}" + (f"-{number}" if number > 1 else ""))
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError as error:
            if not path.is_dir():  # a file is in the way, further up
                raise cannot_write(out, error) from error
        except OSError as error:
            raise cannot_write(out, error) from error
    raise LabError(f"{out} holds a hundred runs of this second already; take another --name")


def read_rows(path: Path) -> pd.DataFrame:
    """The rows of a Parquet file, whatever letters its name has, and whatever its writer told
    pandas of them. Raises OSError and pyarrow's errors."""
    if not path.is_file():
        raise OSError("it is no file of data")
    with open(path, "rb") as file:
        frame: pd.DataFrame = parquet.read_table(file).to_pandas(ignore_metadata=True)
        return frame


def _concatenate(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One frame of many; categories of the parts are united, so that they stay categories."""
    if not frames:
        return pd.DataFrame()
    # A part without a row, of a trial in which the machine stood still, comes back untyped.
    frames = [frame for frame in frames if len(frame)] or frames[:1]
    for column in frames[0].columns:
        if not isinstance(frames[0][column].dtype, pd.CategoricalDtype):
            continue
        union: list[str] = []
        for frame in frames:
            union += [c for c in frame[column].cat.categories if c not in union]
        for frame in frames:
            frame[column] = frame[column].cat.set_categories(union)
    return pd.concat(frames, ignore_index=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically; a link that is there, maybe out of its folder, is replaced and not
    followed. Raises `LabError` when it cannot be."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> LabError:
    """One sentence for a file or folder that cannot be written."""
    return LabError(
        f"cannot write {path}: {error.strerror or error}; make room or name another folder (--out)"
    )


def as_json(record: object) -> bytes:
    """A record as it is written: indented, one line end."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def load_beside_run(file: Path, kind: type[Record], schema: int, again: str) -> Record | None:
    """A record that stands beside a run's own; None where there is none. `again`: what to do about
    one that cannot be used. Raises `LabError`."""
    try:
        data = read_json(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}") from error
    except LabError as error:
        raise LabError(f"{file} is no whole record: {error}; {again}") from error
    try:
        found = msgspec.convert(data, _Versioned).schema
        if found != schema:
            raise LabError(f"{file} has schema {found}; this lab reads {schema}: {again}")
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise LabError(f"{file} is no whole record: {short(error)}; {again}") from error


class _Versioned(msgspec.Struct):
    schema: int
