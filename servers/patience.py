"""Whose client would have left before its answer: what need not be served any more."""

from __future__ import annotations

from time import monotonic_ns

from servers.connection import Connection

# Of a client's wait the server does not see: connecting, the kernel's backlog, the answer's way.
_UNSEEN_NS = 20_000_000


class Patience:
    """How long clients wait, against how long it takes to serve one.

    Serving is expected to take the smoothed mean of what it took and four times the smoothed
    deviation from that, as TCP expects an acknowledgement (RFC 6298, 2: gains of 1/8 and 1/4). The
    head of a queue that is too long is always nearly too old, so a margin too small would have the
    workers answer everybody a moment too late. It is at most half the patience: who has just come
    is served in any case, or there would be nothing to learn from.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_ns = int(patience_s * 1e9)
        # Read and replaced whole by all workers: of two at once one is lost, which is no matter.
        self._mean_and_deviation_ns = (0.0, 0.0)

    def is_over(self, connection: Connection) -> bool:
        """Any thread: whether an answer that is begun now would come too late."""
        mean_ns, deviation_ns = self._mean_and_deviation_ns
        expected_ns = min(mean_ns + max(_UNSEEN_NS, 4 * deviation_ns), self._patience_ns / 2)
        return monotonic_ns() - connection.accepted_ns + expected_ns > self._patience_ns

    def learn(self, taken_ns: int) -> None:
        """Any thread: one was served, which took that long."""
        mean_ns, deviation_ns = self._mean_and_deviation_ns
        deviation_ns += (abs(taken_ns - mean_ns) - deviation_ns) / 4
        self._mean_and_deviation_ns = (mean_ns + (taken_ns - mean_ns) / 8, deviation_ns)
