"""A request from the client's side, in three parts that add up to its response time. Pure.

planned -> sent: the generator's lag; in a closed loop also the wait for the client's last request
sent -> connected: the kernel's handshake; the server's accept() need not have happened yet
connected -> answered: the backlog, dispatch, the handler, and the answer on its way back
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.stats.weighted import WEIGHT, Ranked, weights

PARTS = ("planned to sent", "sent to connected", "connected to answered")
# The middle and the tail of the response times: percentile, width of the band around it, words.
BANDS = ((50.0, 2.0, "typical"), (99.0, 1.0, "slow"))
SENT_AFTER = "sent_after_us"


@dataclass(frozen=True, slots=True)
class Band:
    """Requests whose response times are near one percentile, and the mean of each of `PARTS`
    over them, in microseconds."""

    percentile: float
    requests: int
    parts_us: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of one part by itself, in microseconds; of different parts they do not add up."""

    p50_us: float
    p99_us: float


def parts_us(requests: pd.DataFrame, closed_loop: bool) -> pd.DataFrame:
    """One column for each of `PARTS`, in microseconds, over the ok requests of rows as in
    `requests.parquet`; `response_us`, their sum; and `weight`, how many requests a row stands
    for."""
    sent = sent_after_us(requests) if closed_loop else requests["lag_us"]
    ok = (requests["outcome"] == "ok").to_numpy()
    sent, connect = sent[ok], requests["connect_us"][ok]
    response = requests["response_us"][ok]
    values = (sent, connect, response - sent - connect, response)
    parts = pd.DataFrame(dict(zip((*PARTS, "response_us"), values, strict=True)))
    return parts.assign(**{WEIGHT: weights(requests)[ok]})


def sent_after_us(requests: pd.DataFrame) -> pd.Series[float]:
    """How long after its intended time each request of a closed loop was sent, in microseconds.

    A client may send once its last request has ended, so that moment follows from the rows: the
    latest end so far of the same client in the same trial, or the intended time if that is later.
    Rows that git keeps may lack that last request, and have the figure as a column.
    """
    if SENT_AFTER in requests:
        return requests[SENT_AFTER]
    trial = ["slot", "level", "round", "client"]
    ordered = requests.sort_values([*trial, "intended_us"], kind="stable")
    ends = (ordered["intended_us"] + ordered["response_us"]).fillna(-np.inf)
    groups = [ordered[column] for column in trial]
    latest = ends.groupby(groups, sort=False).cummax().groupby(groups, sort=False).shift()
    wait = (latest - ordered["intended_us"]).clip(lower=0).fillna(0.0)
    return (wait + ordered["lag_us"]).reindex(requests.index)


def band(parts: pd.DataFrame, percentile: float, width: float) -> Band | None:
    """The requests from `percentile - width / 2` to `percentile + width / 2` of the response
    times, and the mean of each part; None without any."""
    if parts.empty:
        return None
    response = Ranked.of(parts["response_us"], weights(parts))
    low, high = (response.quantile(share) for share in edges(percentile, width))
    near = parts[(parts["response_us"] >= low) & (parts["response_us"] <= high)]
    weight = weights(near)
    first, second, third = (float(np.average(near[part], weights=weight)) for part in PARTS)
    return Band(percentile, int(weight.sum()), (first, second, third))


def edges(percentile: float, width: float) -> tuple[float, float]:
    """The shares at which a band of response times begins and ends."""
    return max((percentile - width / 2) / 100, 0.0), min((percentile + width / 2) / 100, 1.0)


def quantiles(parts: pd.DataFrame, part: str) -> Quantiles | None:
    """Median and p99 of one part by itself; None without any request."""
    if parts.empty:
        return None
    ranked = Ranked.of(parts[part], weights(parts))
    return Quantiles(ranked.quantile(0.5), ranked.quantile(0.99))
