"""The rows that go into git: rounded, and those of long runs thinned as well.

`labrun compare` keeps every row in a run's folder, as it was measured. What the repository keeps is
for its report, charts and notebooks, and comes again with each renewal, so it is made smaller:

Rounded (`rounded`): every row is there. Times are float32, to 1/16 of a microsecond, or to one part
in 4,096 where that is coarser (about four digits); the intended time is to the microsecond. Rows of
a closed loop get a column `sent_after_us`, which else follows from the row of the client's last
request (`harness.studies.compare.waterfall.sent_after_us`).

Thinned (`thinned`): each row stands for as many requests as its column `weight` says, all of one
trial and one outcome. The 100 slowest of each trial and outcome are there with weight 1, by
response time as by service time; further down a row stands for at most a hundredth of those that
are slower. What is read from all rows together is as it was:

- the weights of a trial add up to its scheduled requests, and by outcome to its outcomes;
- median and p99 of each part of a request, over the valid trials of a backend and level, are times
  of rows that are there, with as many requests below and above them as before;
- so are the ends of the bands that the waterfall is drawn from, and within a band there are so many
  rows that its means are those of all to a few per cent.

Any other quantile is off by about a fiftieth of the share that is slower at most: p90, say, is
between p89.8 and p90.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.core.record import Run
from harness.drivers.driver import driver_of
from harness.reading.runs import load_run
from harness.stats.weighted import WEIGHT
from harness.store import REQUESTS_FILE
from harness.studies.compare.waterfall import (
    BANDS,
    PARTS,
    SENT_AFTER,
    edges,
    parts_us,
    sent_after_us,
)

# A row stands for at most 1/SLOWEST of the requests that are slower, and 1/FASTEST of those that
# are faster; in a band of which means are drawn for 1/TYPICAL of it.
SLOWEST, FASTEST, TYPICAL = 100, 10, 1000

_TRIAL = ["slot", "level", "round"]
_TIMES = ("lag_us", "connect_us", "response_us", SENT_AFTER)
_STEP_US, _BITS = 1 / 16, 12

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]


def keep_rows(
    folder: Path, target: Path, *, thin: bool = False, level: float | None = None
) -> None:
    """Write the rows of the run in `folder` into the folder `target`, as git keeps them; of one
    level alone where it is given. Raises `LabError` where the record cannot be read."""
    run = load_run(folder)
    filters = None if level is None else [("level", "==", level)]
    rows = rounded(run, pd.read_parquet(folder / REQUESTS_FILE, filters=filters))
    write_rows(thinned(run, rows) if thin else rows, target / REQUESTS_FILE)


def rounded(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Every row, in the precision that is kept; of a closed loop with `sent_after_us`."""
    intended = rows["intended_us"].round()
    narrow = np.int32 if intended.max() < 2**31 else np.int64
    kept = rows.assign(intended_us=intended.astype(narrow))
    if driver_of(run.settings.driver).falls_behind:
        kept[SENT_AFTER] = sent_after_us(rows)
    for column in _TIMES:
        if column in kept:
            kept[column] = _rounded(kept[column].to_numpy(dtype=np.float64))
    return kept


def _rounded(times_us: Floats) -> npt.NDArray[np.float32]:
    """To whole steps that are powers of two, so that the last bits are all 0 and need no room."""
    _, exponent = np.frexp(times_us)
    step = np.maximum(_STEP_US, np.ldexp(1.0, exponent - 1 - _BITS))
    kept: npt.NDArray[np.float32] = (np.round(times_us / step) * step).astype(np.float32)
    return kept


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """Write rows as `rounded` gives them, in as few bytes as Parquet can."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    # The bytes of a number, each in a stream of its own: it is then seen that the times end in
    # zeros, and that both backends had the same schedule. Brotli takes 5 % less than zstd.
    split = [name for name in ("client", "intended_us", *_TIMES) if name in table.column_names]
    pq.write_table(
        table, path, compression="brotli", compression_level=11, write_statistics=False,
        use_dictionary=[name for name in table.column_names if name not in split],
        column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
    )  # fmt: skip


def thinned(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Fewer rows, and how many requests each stands for (`weight`), in the order that they had.
    Rows that are thinned already stay as they are."""
    if WEIGHT in rows:
        return rows
    rows = rows.reset_index(drop=True)
    parts = parts_us(rows, driver_of(run.settings.driver).falls_behind).drop(columns=WEIGHT)
    parts["service_us"] = parts["response_us"] - parts[PARTS[0]]
    most = _most(rows, parts["service_us"].reindex(rows.index))
    place = np.zeros(len(rows), dtype=np.int64)
    for cell, valid in _cells(run, rows.loc[parts.index]):
        place[cell], bands = _places(parts.loc[cell], valid)
        for band in bands:
            at = cell[band]
            most[at] = np.minimum(most[at], max(1.0, len(at) / TYPICAL))
    chosen, weight = _one_of_each(
        np.asarray(rows.groupby(_TRIAL).ngroup(), dtype=np.int64),
        np.asarray(rows.groupby("outcome", observed=True).ngroup(), dtype=np.int64),
        place,
        np.floor(np.log2(most)).astype(np.int64),
        by=rows["response_us"].to_numpy(dtype=np.float64),
    )
    kept = rows.loc[chosen].assign(**{WEIGHT: weight.astype(np.int32)})
    return kept.sort_index().reset_index(drop=True)


def _most(rows: pd.DataFrame, service_us: pd.Series[float]) -> Floats:
    """How many requests each row may stand for, by how many of its trial and outcome are slower,
    and how many are faster."""
    groups = [rows[column] for column in (*_TRIAL, "outcome")]
    limits = []
    for times, ascending, share in (
        (rows["response_us"], False, SLOWEST),
        (service_us, False, SLOWEST),
        (rows["response_us"], True, FASTEST),
    ):
        ranks = times.groupby(groups, observed=True).rank(
            method="first", ascending=ascending, na_option="bottom"
        )
        limits.append(ranks.to_numpy(dtype=np.float64) / share)
    most: Floats = np.maximum(np.minimum.reduce(limits), 1.0)
    return most


def _cells(run: Run, ok: pd.DataFrame) -> Iterator[tuple[Ints, Marks]]:
    """Of each backend and level: where its ok rows are, and which of those are of valid trials."""
    counted = {(t.slot, t.rps, t.round) for t in run.trials if t.valid}
    for (slot, level), cell in ok.groupby(_TRIAL[:2]):
        rounds = [number for number in cell["round"].unique() if (slot, level, number) in counted]
        if rounds:
            yield cell.index.to_numpy(), cell["round"].isin(rounds).to_numpy()


def _places(parts: pd.DataFrame, valid: Marks) -> tuple[Ints, list[Marks]]:
    """Where each row is among the figures that are read from all of them: a number for each place
    between two figures, and for each figure itself, in all of the parts together; and which rows
    are in each of the bands."""
    ends = [edges(percentile, width) for percentile, width, _ in BANDS]
    place = np.zeros(len(parts), dtype=np.int64)
    for name in parts:
        shares = [0.5, 0.99, *(np.ravel(ends) if name == "response_us" else ())]
        times = parts[name].to_numpy(dtype=np.float64)
        figures = np.unique(np.quantile(times[valid], shares, method="inverted_cdf"))
        below, up_to = (np.searchsorted(figures, times, side=side) for side in ("left", "right"))
        place = place * (2 * len(figures) + 1) + below + up_to
    response = parts["response_us"]
    limits = np.quantile(response[valid], ends, method="inverted_cdf")
    return place, [response.between(low, high).to_numpy() for low, high in limits]


def _one_of_each(*strata: Ints, by: Floats) -> tuple[Ints, Ints]:
    """Rows that are equal in each of `strata` are cut, in the order of `by`, into groups as even as
    can be, of two to the power of the last of `strata` at most. The place of each group's middle
    row, and how many rows the group has."""
    order = np.lexsort((by, *reversed(strata)))
    keys = np.stack(strata)[:, order]
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    sizes = np.diff(np.r_[starts, len(order)])
    groups = -(-sizes // 2 ** keys[-1, starts])
    within = np.arange(len(order)) - np.repeat(starts, sizes)
    group = np.repeat(np.cumsum(groups) - groups, sizes) + (
        within * np.repeat(groups, sizes) // np.repeat(sizes, sizes)
    )
    weight = np.bincount(group)
    firsts = np.cumsum(weight) - weight
    return order[firsts + (weight - 1) // 2], weight
