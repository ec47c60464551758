"""The ledger of claims: `harness/studies/claims/claims.toml`, read and checked."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.studies.claims.records import CLAIMS_SCHEMA, Claim, Given

LEDGER_FILE = Path(__file__).with_name("claims.toml")


class Ledger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All claims, in the order in which they are shown, and the runs that they are about.

    `language` is that of the document's code; `backends` and `scenario` say what a run must be
    like; `free` names the settings that may be anything.
    """

    schema: int
    document: str
    language: str
    backends: list[str]
    free: list[str]
    scenario: list[Given]
    claim: list[Claim]


@cache
def the_ledger() -> Ledger:
    """The lab's own. Raises as `load_ledger` does."""
    return load_ledger(LEDGER_FILE)


def load_ledger(path: Path) -> Ledger:
    """A ledger. Raises `LabError` with the place and the reason when the file is broken."""
    try:
        ledger = msgspec.toml.decode(path.read_bytes(), type=Ledger)
    except OSError as error:
        raise LabError(
            f"cannot read the ledger of claims {path}: {error.strerror}; install the lab again"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LabError(f"the ledger of claims {path} is broken: {error}") from error
    if ledger.schema != CLAIMS_SCHEMA:
        raise LabError(
            f"the ledger of claims {path} has schema {ledger.schema}; "
            f"this lab reads {CLAIMS_SCHEMA}"
        )
    for given in ledger.scenario:
        if given.setting not in Settings.__struct_fields__:
            raise LabError(
                f"the ledger of claims {path} is broken: a run has no setting {given.setting!r}"
            )
    seen: set[str] = set()
    for claim in ledger.claim:
        fault = _fault(claim, seen)
        if fault is not None:
            raise LabError(f"the ledger of claims {path} is broken: claim {claim.id!r} {fault}")
        seen.add(claim.id)
    return ledger


def _fault(claim: Claim, seen: set[str]) -> str | None:
    """The fault of a claim, in words that follow its name; None when there is none."""
    from harness.studies.claims.estimators import MEASURES

    if claim.id in seen:
        return "is there twice"
    if not all((claim.id, claim.group, claim.text, claim.section, claim.condition)):
        return "needs an id, a group, a text, a section and a condition"
    figures = [x for x in (claim.value, claim.low, claim.high) if x is not None]
    if not all(math.isfinite(x) and x >= 0 for x in figures):
        return "needs figures that are finite and not negative"
    wanted = {"between": (False, True, True), "more": (False, False, False)}
    given = (claim.value is not None, claim.low is not None, claim.high is not None)
    if given != wanted.get(claim.kind, (True, False, False)):
        return f"is of kind {claim.kind!r}, which needs " + (
            "low and high" if claim.kind == "between"
            else "no figure" if claim.kind == "more" else "value alone"
        )  # fmt: skip
    if claim.low is not None and claim.high is not None and claim.low > claim.high:
        return "has a low above its high"
    if claim.kind == "more" and not claim.compares:
        return "is of kind 'more', which needs the unit 'times'"
    if claim.ratio is not None and not claim.compares:
        return "is a ratio, which needs the unit 'times'"
    measure = MEASURES.get(claim.measure)
    if measure is None:
        return f"names the measure {claim.measure!r}, which does not exist"
    if claim.ratio is not None and claim.backend is not None:
        return "names both a backend and a ratio"
    return measure.misuse(claim)
