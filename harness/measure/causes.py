"""Why requests failed: each failure of a trial put down to a cause, in words. Pure.

Outcomes say what the client saw; the cause needs more: whether the connection ever came about,
the status, and the kernel's counters. Each sentence names the cause first, then the counts.
"""

from __future__ import annotations

import numpy as np

from harness.core.record import Client, Kernel
from harness.drivers import request_log as L
from harness.drivers.request_log import NEVER_ALLOWED
from harness.measure.request_rows import Rows

# Linux sends a SYN that was dropped again after 1 s, then 3 s, 7 s after the first.
SYN_AGAIN_NS = 950_000_000


def failure_causes(rows: Rows, client: Client, kernel: Kernel) -> list[str]:
    """One sentence for each cause that there was, without a full stop; none for a sound trial."""
    found = [
        _backlog(rows, kernel),
        _deadline(rows),
        _by_status(rows, L.REJECTED, "the server said no"),
        _by_status(rows, L.HTTP_ERROR, "the server answered with an error"),
        _plain(client.outcomes.refused, "refused: nobody listened, or somebody on the way said no"),
        _plain(client.outcomes.reset, "reset: the server closed before it had answered"),
        _plain(client.outcomes.bad_response, "bad response: not HTTP, or cut short"),
        _plain(
            client.unsent_causes.get(NEVER_ALLOWED, 0),
            "never allowed: their clients still waited for an earlier answer when the window was "
            "long over",
        ),
        _unsent(client),
    ]
    return [sentence for sentence in found if sentence is not None]


def _backlog(rows: Rows, kernel: Kernel) -> str | None:
    """An accept queue that was full: the kernel drops the SYN and the client tries again."""
    outcome = rows.outcome
    never = int(((outcome == L.TIMEOUT) & (rows.connected < 0)).sum())
    late = int(((rows.connected >= 0) & (rows.connected - rows.sent >= SYN_AGAIN_NS)).sum())
    overflows, drops = kernel.listen_overflows, kernel.listen_drops
    if not never and not late and not overflows:
        return None
    seen = f"{_requests(never)} never got a connection and {late:,} waited 1 s or more for one"
    if overflows:
        return (
            f"backlog overflow: the kernel counted {overflows:,} ListenOverflows and "
            f"{drops or 0:,} ListenDrops; {seen}"
        )
    why = "cannot be read" if overflows is None else "counted no overflow"
    return f"no connection in time, though the kernel {why}: {seen}"


def _deadline(rows: Rows) -> str | None:
    late = int(((rows.outcome == L.TIMEOUT) & (rows.connected >= 0)).sum())
    return _plain(late, "deadline: connected, but not answered within the timeout")


def _by_status(rows: Rows, outcome: int, words: str) -> str | None:
    statuses, counts = np.unique(rows.detail[rows.outcome == outcome], return_counts=True)
    if not len(statuses):
        return None
    told = ", ".join(f"{s}: {n:,}" for s, n in zip(statuses, counts, strict=True))
    return f"{words}: {_requests(int(counts.sum()))} (by status {told})"


def _unsent(client: Client) -> str | None:
    """But for those that were never allowed, which was the server's doing."""
    found = {name: count for name, count in client.unsent_causes.items() if name != NEVER_ALLOWED}
    causes = ", ".join(f"{name}: {count:,}" for name, count in found.items())
    unsent = client.outcomes.unsent - client.unsent_causes.get(NEVER_ALLOWED, 0)
    return _plain(unsent, f"unsent by the generator ({causes or 'stopped'})")


def _plain(count: int, words: str) -> str | None:
    return f"{words}: {_requests(count)}" if count else None


def _requests(count: int) -> str:
    return f"{count:,} request" if count == 1 else f"{count:,} requests"
