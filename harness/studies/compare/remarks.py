"""Remarks on how a run was measured, a sentence each: why it says nothing, what may have spoilt its
blocks or why it has none, and what could not be seen from outside. Pure."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Callable, Iterator, Sequence

from harness.core.record import (
    ONLY_INSIDE,
    Block,
    BystanderKind,
    GeneratorShare,
    Run,
    ServerSettings,
    Settings,
    Trial,
)
from harness.core.text import visible
from harness.core.trials import comparable
from harness.core.units import microseconds, percent, rate, ratio, share
from harness.core.wording import counted, listed, slot_names
from harness.drivers.driver import driver_of
from harness.studies.compare.blocks import SHOWS, Start, disturbed_unevenly, starts_of

_REMEDY = "stop what else runs on this machine, lower the rate, or take more rounds"
_NAMED = 2  # of those that disturbed, by their names
_TOLD_MS = 100.0  # of CPU taken by the hypervisor


def nothing_said(run: Run, compared: bool = True) -> str | None:
    """Why nothing that a run was made for can be told, in a sentence; None where something can.
    `compared`: whether it was made to compare its backends, where it has more than one."""
    if run.settings.trace is not None and any(trial.traced for trial in run.trials):
        return None  # it was made to be looked at
    alone = run.capacity is not None or not compared or len(run.settings.backends) < 2
    if alone:
        what, said = "nothing was measured that holds", any(map(comparable, run.trials))
    elif run.crossover is not None:
        what = "nothing was compared"
        said = any(cell.better != "cannot-tell" for cell in run.crossover.cells)
    else:
        what, said = "nothing was compared", any(c.rounds for c in run.comparisons)
    return None if said else f"{what}: {_why_nothing(run)}; {_REMEDY}"


def _why_nothing(run: Run) -> str:
    invalid = [trial for trial in run.trials if not comparable(trial)]
    if not invalid:
        return "no round has a figure of both sides"
    first = invalid[0]
    return (
        f"{len(invalid)} of {len(run.trials)} trials are not valid, the first: "
        f"{first.invalid_reason or first.class_}"
    )


def block_sentences(run: Run) -> list[str]:
    """A line for each level that was measured in blocks, and one that says why none could be,
    without a full stop."""
    told = [told for rps in run.settings.rps if (told := _blocks_of(run, rps)) is not None]
    why = _why_whole(run.settings)
    return told if why is None else [*told, why]


def _why_whole(settings: Settings) -> str | None:
    """Why such a run cannot be in blocks; None where it can, or there is nothing to compare."""
    if settings.design == "blocks" or len(settings.backends) < 2:
        return None
    if not driver_of(settings.driver).in_turns:
        return "In whole trials, since blocks are for the open loop"
    if settings.target is not None and "," not in settings.target:
        return "In whole trials, since blocks need a server for each backend (--target)"
    return None


def _blocks_of(run: Run, rps: float) -> str | None:
    trials = [trial for trial in run.trials if trial.rps == rps and trial.blocks]
    blocks = [block for trial in trials for block in trial.blocks]
    if not blocks:
        return None
    late = sum(block.late for block in blocks)
    parts = [f"{late} late" if late else "none late"]
    others = [b.others_cpu_share for b in blocks if b.others_cpu_share is not None]
    if others:
        parts.append(f"idle servers used {share(statistics.median(others))} of a CPU")
    parts += _effects(trials)
    parts += _disturbances(trials)
    stolen = sum(block.steal_ms or 0.0 for block in blocks)
    if stolen >= _TOLD_MS:
        parts.append(f"{stolen / 1e3:.1f} s of CPU were taken by the hypervisor")
    return f"{rate(rps)}, {len(blocks)} blocks: {', '.join(parts)}"


def _disturbances(trials: Sequence[Trial]) -> Iterator[str]:
    """Who else had the servers' CPUs, and whether a p99 is without it."""
    blocks = [block for trial in trials for block in trial.blocks]
    disturbed = [block for block in blocks if block.disturbed]
    if not disturbed:
        return
    who: dict[str, list[float]] = {}
    for block in disturbed:
        if block.other_work is not None and block.other_work.name is not None:
            who.setdefault(block.other_work.name, []).append(block.other_work.cpu_ms)
    often = sorted(who, key=lambda name: len(who[name]), reverse=True)[:_NAMED]
    named = [f"{visible(name)} {statistics.median(who[name]):.1f} ms" for name in often]
    told = f"other work disturbed {share(len(disturbed) / len(blocks))} of them"
    yield told + (f" ({listed(named)} at a time)" if named else "") + f", {_without(trials)}"


def _without(trials: Sequence[Trial]) -> str:
    without = sum(trial.client.block_disturbed_left_out for trial in trials)
    if without == len(trials):
        return "and a p99 is compared without these"
    uneven = disturbed_unevenly(trials)
    if uneven is not None:
        names = listed([trial.name for trial in uneven])
        return f"not evenly beside {names}, so a p99 keeps them"
    if not without:
        return "and no restart has others for its p99"
    return f"and a p99 is compared without these in {without} of {len(trials)} trials"


def _effects(trials: Sequence[Trial]) -> Iterator[str]:
    place = position_effect(trials, lambda block: block.cpu_us_per_request.total)
    if place is not None:
        yield f"the later place in a pair took {_change(place)} CPU"
    starts = starts_of(trials)
    if starts:
        farthest = max(starts, key=lambda start: abs(math.log(start.first.value)))
        yield _start(farthest, any(trial.client.block_start_left_out for trial in trials))


def _start(start: Start, left_out: bool) -> str:
    """The start of a block, of the arm of which it differs most; the interval is a factor."""
    found = start.first
    told = f"the first tenth of a block took {_change(found.value)} time"
    if found.low is not None and found.high is not None:
        told += f" ({start.name}: {ratio(found.low)} to {ratio(found.high)} times)"
    if left_out:
        told += " and is left out of a block's times"
        if start.goes_on:
            told += ", but the second differs too: take longer blocks (--block)"
    return told


def _change(factor: float) -> str:
    if abs(factor - 1) < SHOWS:
        return "no other"
    return f"{percent(abs(factor - 1))} {'more' if factor > 1 else 'less'}"


def position_effect(
    trials: Sequence[Trial], figure: Callable[[Block], float | None]
) -> float | None:
    """How a figure changes from the first to the last place in a pair: the median over arms and
    restarts of the ratio of its medians there; None where a place was never taken."""
    logs = []
    for trial in trials:
        last = max(block.place for block in trial.blocks)
        ends = [
            [value for block in trial.blocks if block.place == place
             and (value := figure(block)) is not None and value > 0]
            for place in (0, last)
        ]  # fmt: skip
        if last and all(ends):
            first, later = (statistics.median(values) for values in ends)
            logs.append(math.log(later / first))
    return math.exp(statistics.median(logs)) if logs else None


def connection_sentences(run: Run) -> list[str]:
    """How connections that stay were used, a sentence for each arm; none where each request had one
    of its own."""
    told = []
    for slot, name in enumerate(slot_names(run.settings)):
        mine = [t.client for t in run.trials if t.slot == slot]
        kept = [client.connections for client in mine if client.connections is not None]
        if not kept:
            continue
        opened, reused, retried = (
            sum(getattr(one, part) for one in kept) for part in ("opened", "reused", "retried")
        )
        closed = sum(client.closed_by_server or 0 for client in mine)
        told.append(
            f"Connections to {name} stayed: {opened:,} opened while it was measured, "
            f"{counted(reused, 'request')} over one that was there, {closed:,} closed by the "
            f"server, {counted(retried, 'request')} sent again."
        )
    return told


def generator_sentences(run: Run) -> list[str]:
    """How several processes sent; nothing where one did, here."""
    each = [t.client.generators for t in run.trials if t.client.generators]
    if not each:
        return []
    far = each[-1][0].clock_ahead_us is not None
    late = [_named(parts[-1], _worst(parts)) for parts in zip(*each, strict=True)]
    ready_us = max(part.start_late_us for parts in each for part in parts)
    ready = (
        f"the last was ready {microseconds(ready_us)} after it" if ready_us else "all were in time"
    )
    who = f"{counted(len(late), 'worker')} of other machines" if far else f"{len(late)} processes"
    told = [
        f"{who} sent, each for its own clients: in the worst trial of each the p99 of their "
        f"lateness was {listed(late)}. For their common start {ready}."
    ]
    if far:
        told.append(
            f"Their clocks, in the last trial: {listed([_clock(part) for part in each[-1]])}. That "
            "is in no figure, since times of requests count from the common start, which was told "
            "to each by its own clock."
        )
    return told


def _worst(parts: Sequence[GeneratorShare]) -> str:
    """The p99 of one's lateness in the worst of its trials."""
    known = [part.lag_us.p99 for part in parts if part.lag_us.p99 is not None]
    return microseconds(max(known)) if known else "unknown"


def _named(part: GeneratorShare, value: str) -> str:
    return value if part.machine is None else f"{value} ({part.machine})"


def _clock(part: GeneratorShare) -> str:
    ahead_us = part.clock_ahead_us or 0.0
    where = "ahead of" if ahead_us >= 0 else "behind"
    return _named(
        part,
        f"{microseconds(abs(ahead_us))} {where} this machine's, known within "
        f"{microseconds(part.clock_error_us or 0.0)}",
    )


def bystander_sentences(run: Run) -> list[str]:
    """What became of the bystanders of each arm, a sentence for each kind; none without any."""
    told = []
    for slot, name in enumerate(slot_names(run.settings)):
        there = [t.bystanders for t in run.trials if t.slot == slot and t.bystanders is not None]
        for what, kinds in (
            ("slow clients", [each.slow for each in there if each.slow is not None]),
            ("idle connections", [each.idle for each in there if each.idle is not None]),
        ):
            if kinds:
                told.append(f"Beside {name}: {_became(what, kinds)}.")
    return told


def _became(what: str, kinds: Sequence[BystanderKind]) -> str:
    statuses = sorted({status for kind in kinds for status in kind.answered_by_status})
    answers = [
        f"{sum(kind.answered_by_status.get(status, 0) for kind in kinds):,} with {status}"
        for status in statuses
    ]
    made, refused, unanswered, open_ = (
        sum(getattr(kind, part) for kind in kinds)
        for part in ("connections", "refused", "unanswered", "open")
    )
    trials = "" if len(kinds) == 1 else f" in each of {len(kinds)} trials"
    told = [f"{kinds[0].asked:,} {what}{trials} made {counted(made, 'connection')}"]
    told.append(f"answered: {listed(answers)}" if answers else "none was answered")
    if refused:
        told.append(f"{refused:,} could not connect")
    if unanswered:
        told.append(f"{unanswered:,} ended without an answer")
    told.append(f"{open_:,} were open when load was over")
    return "; ".join(told)


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
        known = [
            t
            for t in mine
            if t.client.closed_by_server is not None and t.client.connections is None
        ]
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
