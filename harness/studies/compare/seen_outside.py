"""Remarks on a run whose servers were seen from outside, a sentence each. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from harness.core.record import ONLY_INSIDE, Run, ServerSettings
from harness.core.units import share
from harness.core.wording import listed, slot_names


def outside_sentences(run: Run) -> list[str]:
    """The servers, the request, who closed, and what could not be seen; none of a run whose servers
    said of themselves what they used."""
    if not run.settings.outside:
        return []
    return [
        "All servers were seen from outside, by the same instruments; what only a server could say "
        "of itself (its handlers' CPU, queue, active threads) is missing. CPU and switches are of "
        "the whole tree of processes, for each answer that the generator got.",
        *_counted_apart(run),
        *(_server(server) for server in run.settings.servers),
        _request(run),
        *_closed(run),
        *_missing(run),
    ]


def _counted_apart(run: Run) -> Iterator[str]:
    seen = [trial.server for trial in run.trials if trial.server is not None]
    if any(server.context_switches.per_s is not None for server in seen):
        yield (
            "Context switches and births of threads were counted under a load of their own after "
            "the measured ones, since counting costs whoever starts threads."
        )


def _server(server: ServerSettings) -> str:
    if server.url is not None:
        return f"{server.name} ran already, at {server.url}."
    told = shlex.join(server.command)
    where = f" in {server.folder}" if server.folder else ""
    return f"{server.name} is {told}{where}."


def _request(run: Run) -> str:
    asked = run.settings.request
    if asked is None:
        return "Sent was the document's POST /metrics; 202 is ok."
    statuses = listed([str(status) for status in asked.expect])
    size = len(asked.body.encode())
    body = f" with {size:,} bytes of body" if size else ""
    are = "is" if len(asked.expect) == 1 else "are"
    return f"Sent was {asked.method} {asked.path}{body}; {statuses} {are} ok."


def _closed(run: Run) -> Iterator[str]:
    """Which side closed: it keeps the TIME_WAIT."""
    told = []
    for slot, name in enumerate(slot_names(run.settings)):
        mine = [trial for trial in run.trials if trial.slot == slot]
        known = [t for t in mine if t.client.closed_by_server is not None]
        answers = sum(t.client.outcomes.total() - t.client.outcomes.unsent for t in known)
        if answers:
            closed = sum(t.client.closed_by_server or 0 for t in known)
            told.append(f"{name} {share(closed / answers)}")
    if told:
        yield (
            f"Connections that the server closed first, before the generator did: {listed(told)}."
        )


def _missing(run: Run) -> Iterator[str]:
    """Figures that a machine, or a server that is not ours, did not let us see."""
    names = slot_names(run.settings)
    reasons: dict[str, dict[str, None]] = {}
    for trial in run.trials:
        missing = {} if trial.server is None else trial.server.missing
        for reason in missing.values():
            if reason != ONLY_INSIDE:
                reasons.setdefault(reason, {})[names[trial.slot]] = None
    for reason, who in reasons.items():
        yield f"Not seen of {listed(list(who))}: {reason}."
