"""The judgement of a run, by its servers in Python and by those in C++, the document's language:
made, written as `claims.json` into its folder, and read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.core.record import Run
from harness.store import as_json, load_beside_run, write_whole
from harness.studies.claims.consistency import checks
from harness.studies.claims.judge import judge_about, judge_run
from harness.studies.claims.ledger import about, departures, remarks
from harness.studies.claims.records import (
    CLAIMS_SCHEMA,
    VERDICTS,
    Beside,
    Explored,
    Judged,
    Judgement,
)
from servers.native.build import NATIVE

PREFIX = "native-"
PYTHON, CPP = "Python", "C++"
CLAIMS_FILE, EXPLORED_FILE = "claims.json", "explore.json"


@dataclass(frozen=True, slots=True)
class InCpp:
    """A run with the servers in C++ among its backends, and what was measured beside it."""

    run: Run
    beside: Beside


def in_cpp(run: Run) -> Run | None:
    """The part of a run that was served in C++, under the claims' names; None: nothing was."""
    backends = run.settings.backends
    slots = {slot: number for number, slot in enumerate(
        slot for slot, name in enumerate(backends) if name in NATIVE)}  # fmt: skip
    if not slots:
        return None
    names = {slot: backends[slot].removeprefix(PREFIX) for slot in slots}
    replace = msgspec.structs.replace
    arms = [
        replace(arm, name=names[slot], backend=names[slot])
        for slot, arm in enumerate(run.settings.arms)
        if slot in slots
    ]
    return replace(
        run,
        settings=replace(run.settings, backends=list(names.values()), arms=arms),
        trials=[
            replace(trial, backend=names[trial.slot], slot=slots[trial.slot])
            for trial in run.trials
            if trial.slot in slots
        ],
        cells=[],
        comparisons=[],
        capacity=None,
    )


def judge_in_cpp(found: InCpp | None) -> list[Judgement]:
    """The claims that are about such a run; none where nothing was served in C++, or otherwise than
    the document has it."""
    run = None if found is None else in_cpp(found.run)
    if found is None or run is None or departures(run):
        return []
    judgements = (j for j in judge_run(run, beside=found.beside) if about(j.claim, run))
    # Both figures are of one language, so there is nothing to say of it.
    return [msgspec.structs.replace(j, language=None) for j in judgements]


def judge_condition(run: Run, beside: Beside) -> list[Judgement]:
    """Every claim, by a run under any condition: by its servers in C++, if it has no others."""
    inside = in_cpp(run)
    if inside is None or len(inside.settings.backends) < len(run.settings.backends):
        return judge_run(run, beside=beside)
    judged = judge_run(inside, beside=beside)
    return [msgspec.structs.replace(j, language=None) for j in judged]


def pairs(
    python: Sequence[Judgement], cpp: Sequence[Judgement]
) -> list[tuple[Judgement, Judgement | None]]:
    """Each claim's judgement in Python beside that in C++, where there is one."""
    others = {j.claim.id: j for j in cpp}
    return [(j, others.get(j.claim.id)) for j in python]


def counts(judgements: Sequence[Judgement]) -> str:
    """`31 holds, 5 direction holds, ...`."""
    found = Counter(j.verdict for j in judgements)
    return ", ".join(f"{found[name]} {name}" for name in VERDICTS)


def languages_compared(python: Sequence[Judgement], cpp: Sequence[Judgement]) -> str | None:
    """How many claims hold in which language; None without figures in C++."""
    if not cpp:
        return None
    told = f"In {PYTHON}: {counts(python)}. In {CPP}: {counts(cpp)}."
    verdicts = [(j.verdict, o.verdict) for j, o in pairs(python, cpp) if o is not None]
    tested = [both for both in verdicts if "not testable here" not in both]
    tally = Counter((mine == "holds", there == "holds") for mine, there in tested)
    return (
        f"{told} Of the {len(tested)} that both can test {tally[True, True]} hold in both, "
        f"{tally[True, False]} in {PYTHON} alone, {tally[False, True]} in {CPP} alone, "
        f"{tally[False, False]} in neither."
    )


def judged(
    run: Run, beside: Beside, native: InCpp | None = None, native_missing: str | None = None
) -> Judged:
    """The record of judging a run, and the servers in C++ that belong to it."""
    return Judged(
        schema=CLAIMS_SCHEMA,
        run=run.id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        departures=departures(run),
        beside=beside,
        judgements=judge_about(run, beside),
        checks=checks(),
        remarks=remarks(run),
        in_cpp=judge_in_cpp(native),
        native_missing=native_missing,
    )


def load_judged(folder: Path) -> Judged | None:
    """The record of when the run in `folder` was last judged; None where it never was. Raises
    `LabError` when `claims.json` is there and cannot be read."""
    return load_beside_run(
        folder / CLAIMS_FILE, Judged, CLAIMS_SCHEMA, "delete it and judge the run again"
    )


def load_beside(folder: Path) -> Beside | None:
    """Figures measured beside the trials when the run in `folder` was last judged; None where it
    never was. Raises `LabError` when `claims.json` is there and cannot be read."""
    found = load_judged(folder)
    return None if found is None else found.beside


def save_judged(folder: Path, record: Judged) -> None:
    """`claims.json`, into the run's folder. Raises `LabError` when it cannot be written."""
    write_whole(folder / CLAIMS_FILE, as_json(record))


def save_explored(folder: Path, record: Explored) -> None:
    """`explore.json`. Raises `LabError` when it cannot be written."""
    write_whole(folder / EXPLORED_FILE, as_json(record))
