"""Do the accounts of a trial agree, and why did requests fail? Pure.

There are four. The rows: a line a request, stamped as it goes. The engine's integral: how many
requests are in flight, added up over time while they fly, by readings of the clock of its own. The
server's counts and its own integral, from accept to each request's end, by its own clock. And the
kernel's ledger of what it dropped. By Little's law (1961, L = lambda W) the integral of what is in
flight is the sum of the times in flight, whatever the arrivals, for a window that begins and ends
with nobody in flight; that is an identity of two sums, so it tells of accounts that lost, doubled
or shifted something, and nothing of a swap between two requests.

What each of them sees (a test injects each fault):

fault                                        rows   integral   server's integral   server's counts
an end stamp missed in 1 of 20               yes    yes (1)    no                  no
an end stamped again 5 ms later, 1 in 20     no     yes        no (2)              no
a request twice in what is in flight         no     yes        no                  no
one row too many, or too few                 no     no         no                  yes
end stamps 100 us late                       no     yes        no (2)              no
end stamps 100 us early, or sends late       (3)    yes        (4)                 no
end stamps of two requests swapped           (3)    no         no                  no
the generator's clock too slow, everywhere   no     no         (4)                 no

(1) By a twentieth of what a request takes, which is above its tolerance from 0.1 ms on. (2) A
server's integral is a lower bound: the way there and the backlog are not in it. (3) Where times
come out of order. (4) Where the shift is more than the way and the backlog take, and nobody gave
up: of such requests the server may hold on to more than the client did.

Each failure is put down to a cause, in words. Outcomes say what the client saw; the cause needs
more: whether the connection ever came about, the status, and the kernel's counters. Each sentence
names the cause first, then the counts.
"""

from __future__ import annotations

import numpy as np

from harness.core.record import Client, Kernel, Requests, Server
from harness.core.wording import counted
from harness.drivers import request_log as L
from harness.drivers.request_log import NEVER_ALLOWED
from harness.measure.request_rows import Rows

# How far the rows may be from the engine's integral, in microseconds a request. Both read the same
# clock for the same moments, one right after the other: some 0.1 us lies between, which falls out.
TIME_TOLERANCE_US = 5.0
# How far a lower bound may lie above what it bounds: the clocks of two machines run that alike.
CLOCK_TOLERANCE = 1e-3
_APART = "the accounts do not reconcile"
_WHY = "do not trust this trial's latencies before you know why"
# Linux sends a SYN that was dropped again after 1 s, then 3 s, 7 s after the first.
SYN_AGAIN_NS = 950_000_000


def in_flight_mean(rows: Rows, window_s: float) -> float | None:
    """Mean number of requests in flight over the window. By the engine's own integral; where there
    is none (Locust), by the times in the rows, so that it is one with them and checks nothing."""
    flown = _flown(rows)
    if not flown.any():
        return None
    held_ns = _time_in_flight_ns(rows) if rows.in_flight_ns is None else rows.in_flight_ns
    return held_ns / 1e9 / window_s


def little_gap_us(rows: Rows) -> float | None:
    """How much more the engine's integral has than the rows, in microseconds a request. None where
    there is no such integral, or a row without its end since the generator was killed."""
    flown = _flown(rows)
    open_rows = (rows.outcome == 0) & (rows.sent >= 0)
    if rows.in_flight_ns is None or not flown.any() or open_rows.any():
        return None
    return (rows.in_flight_ns - _time_in_flight_ns(rows)) / 1e3 / int(flown.sum())


def account_warnings(
    rows: Rows, client: Client, kernel: Kernel, server: Server | None, whole: bool = True
) -> list[str]:
    """Where the accounts disagree, a sentence for each place. `whole`: the generator's account has
    everything that it sent."""
    found = [_contradictions(rows), _little(rows)]
    if server is not None and server.requests is not None:
        found += [
            _server_longer(rows, client, server.requests, whole),
            _connections(client, kernel, server.requests, whole),
            *_answers(rows, client, server.requests, whole),
        ]
    return [sentence for sentence in found if sentence is not None]


def _flown(rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (rows.sent >= 0) & (rows.ended >= 0)


def _time_in_flight_ns(rows: Rows) -> int:
    return int((rows.ended - rows.sent)[_flown(rows)].sum())


def _contradictions(rows: Rows) -> str | None:
    """Rows that cannot be: of a generator that was killed some are open, which is none."""
    done = (rows.outcome > 0) & (rows.outcome != L.UNSENT)
    unsent = rows.outcome == L.UNSENT
    missing = done & ((rows.sent < 0) | (rows.ended < 0))
    too_much = unsent & ((rows.sent >= 0) | (rows.ended >= 0))
    connected = np.where(rows.connected < 0, rows.sent, rows.connected)
    times = (rows.intended, rows.allowed, rows.sent, connected, rows.ended)
    disorder = done & ~missing & (np.diff(np.stack(times), axis=0) < 0).any(axis=0)
    count = int((missing | too_much | disorder).sum())
    if not count:
        return None
    return (
        f"{counted(count, 'row')} of the generator's account cannot be right (a time is missing or "
        f"out of order); {_WHY}"
    )


def _little(rows: Rows) -> str | None:
    gap_us = little_gap_us(rows)
    if gap_us is None or abs(gap_us) <= TIME_TOLERANCE_US:
        return None
    total_ns = _time_in_flight_ns(rows)
    share = "" if total_ns <= 0 else f" by {abs((rows.in_flight_ns or 0) / total_ns - 1):.1%}"
    than = "more" if gap_us > 0 else "less"
    return (
        f"Little's law is off{share}: the requests in flight, added up while they flew, come to "
        f"{abs(gap_us):,.0f} µs a request {than} than the times in their rows; {_WHY}"
    )


def _server_longer(rows: Rows, client: Client, requests: Requests, whole: bool) -> str | None:
    """A server holds a request for less time than the client does, unless the client gives up."""
    if requests.held_s is None or not whole or client.outcomes.timeout:
        return None
    if requests.in_progress_at_start or not _flown(rows).any():
        return None
    flown_s = _time_in_flight_ns(rows) / 1e9
    if requests.held_s <= flown_s * (1 + CLOCK_TOLERANCE):
        return None
    return (
        f"the server held its requests for {requests.held_s:.3f} s in all by its own clock, and by "
        f"the generator's they were in flight for {flown_s:.3f} s, which cannot be less; {_WHY}"
    )


def _connections(client: Client, kernel: Kernel, requests: Requests, whole: bool) -> str | None:
    """Reconciles the server's accepted count with the generator's answered and begun requests.
    Where connections stay both are of requests, and one that was sent again may have been taken
    twice."""
    outcomes, accepted, kept = client.outcomes, requests.accepted, client.connections
    what = "connection" if kept is None else "request"
    most = client.scheduled - outcomes.unsent - outcomes.refused
    least = most - outcomes.timeout - outcomes.reset
    most += 0 if kept is None else kept.retried
    if accepted < least or (whole and accepted > most):
        made = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        return (
            f"{_APART}: the server accepted {counted(accepted, what)}, and by the "
            f"generator's account {made} were made; nothing explains it"
        )
    never = most - accepted - (0 if kept is None else kept.retried)
    if never <= 0:
        return None
    most = accepted + never
    said = f"the server accepted {accepted:,} of the {most:,} {what}s that were begun"
    if kernel.listen_overflows is None:
        return f"{said}; what became of the other {never:,} only the kernel of its machine knows"
    dropped = max(kernel.listen_overflows, kernel.listen_drops or 0)
    seen = f"the kernel counted {counted(dropped, 'drop')} at a full backlog"
    if dropped >= never:
        return f"{said}; of the other {never:,} {seen}, which explains them"
    return f"{said}; {seen}, which leaves {never - dropped:,} of the other {never:,} unexplained"


def _answers(rows: Rows, client: Client, requests: Requests, whole: bool) -> list[str]:
    """Reconciles the server's answers with the generator's, status by status. More may have been
    sent than came: to whoever had given up."""
    answered = np.isin(rows.outcome, (L.OK, L.REJECTED, L.HTTP_ERROR))
    statuses, counts = np.unique(rows.detail[answered], return_counts=True)
    got = {str(status): int(n) for status, n in zip(statuses, counts, strict=True)}
    sent = requests.answered_by_status
    told = [
        f"{_APART}: the generator has {counted(n, 'answer')} of status {status} and the server "
        f"sent {sent.get(status, 0):,}; nothing explains it"
        for status, n in got.items()
        if n > sent.get(status, 0)
    ]
    outcomes = client.outcomes
    lost = outcomes.timeout + outcomes.reset + outcomes.bad_response
    more = sum(sent.values()) - sum(got.values())
    if whole and not told and more > lost + requests.in_progress_at_start:
        told.append(
            f"{_APART}: the server sent {counted(more, 'answer')} more than the generator got, "
            f"and {lost:,} of its requests ended without one; nothing explains it"
        )
    return told


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
    lost = counted(never, "request")
    seen = f"{lost} never got a connection and {late:,} waited 1 s or more for one"
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
    return f"{words}: {counted(int(counts.sum()), 'request')} (by status {told})"


def _unsent(client: Client) -> str | None:
    """But for those that were never allowed, which was the server's doing."""
    found = {name: count for name, count in client.unsent_causes.items() if name != NEVER_ALLOWED}
    causes = ", ".join(f"{name}: {count:,}" for name, count in found.items())
    unsent = client.outcomes.unsent - client.unsent_causes.get(NEVER_ALLOWED, 0)
    return _plain(unsent, f"unsent by the generator ({causes or 'stopped'})")


def _plain(count: int, words: str) -> str | None:
    return f"{words}: {counted(count, 'request')}" if count else None
