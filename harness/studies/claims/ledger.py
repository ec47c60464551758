"""The ledger of claims, read and checked; which runs its claims are about, and in which language.

The ledger is `harness/studies/claims/claims.toml`. Its claims are about runs in the scenario that
stands there, and its absolute costs are of a program in one language: that the lab's servers take
15 µs for what the document gives 1 µs says little of the document's own server. So each judgement
on such a claim says so, and so does the count of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.options import SERVED, in_words, usual
from harness.core.record import Run, Settings
from harness.studies.claims.records import CLAIMS_SCHEMA, Claim, Given, Judgement
from servers.native.build import NATIVE

LEDGER_FILE = Path(__file__).with_name("claims.toml")
_MIB = 1 << 20


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


def departures(run: Run) -> list[str]:
    """In what a run is not one that the claims are about, each in a few words; empty: they are."""
    ledger = the_ledger()
    found = [_otherwise(given, run) for given in ledger.scenario]
    decided = {*ledger.free, *(given.setting for given in ledger.scenario)}
    settings = run.settings
    found += [in_words(name, getattr(settings, name)) for name in SERVED
              if name not in decided and getattr(settings, name) != usual(name)]  # fmt: skip
    own_language = set(settings.backends) & set(ledger.backends)
    also = NATIVE if own_language else ()  # beside the others they are judged for themselves
    strange = [name for name in settings.backends if name not in {*ledger.backends, *also}]
    if strange:
        found.append(f"other backends ({', '.join(strange)})")
    own = [f"{arm.name} has options of its own" for arm in settings.arms if arm.options]
    if len(set(settings.backends)) < len(settings.backends) and not (strange or own):
        found.append("a backend against itself")
    found += own
    if settings.servers:
        found.append("servers by command")
    if run.sources:
        found.append("servers of another commit")
    if settings.pythons:
        found.append("several interpreters")
    if run.crossover is not None:
        found.append("a search that varies the conditions")
    return [text for text in found if text is not None]


def _otherwise(given: Given, run: Run) -> str | None:
    value = getattr(run.settings, given.setting)
    if value == given.value:
        return None
    return given.otherwise.format(value / _MIB if given.setting.endswith("_bytes") else value)


def remarks(run: Run) -> list[str]:
    """The machine's own oddities: nothing could have been chosen otherwise."""
    one_cpu = run.environment.server_cpus is None  # pinned wherever there are two or more
    return ["server and generator on one CPU"] if one_cpu else []


def about(claim: Claim, run: Run) -> bool:
    """Whether a run in the scenario has the backends that a claim is about."""
    sides = claim.ratio or ((claim.backend,) if claim.backend else ())
    return set(sides) <= set(run.settings.backends)


def check_about(run: Run) -> None:
    """Raise `LabError` with the reason where no claim is about a run."""
    found = departures(run)
    if found:
        raise LabError(
            f"the document's claims are not about run {run.id}, so it does not judge them: "
            f"{'; '.join(found)}. labrun claims makes a run that does, and labrun claims --explore "
            "tries other conditions"
        )


def measured_in(run: Run, by_server: bool = True) -> str:
    """`CPython 3.11 with the GIL`: what ran the servers, or else the lab itself."""
    environment = run.environment
    other = environment.server_python if by_server else None
    version = environment.python_version if other is None else other.version
    gil = environment.gil_enabled if other is None else other.gil_enabled
    kind, _, number = version.rpartition(" ")
    short = ".".join(number.split(".")[:2])
    return f"{kind or 'CPython'} {short} {'with' if gil else 'without'} the GIL"


def language_note(run: Run, by_server: bool) -> str:
    """The note at each figure that depends on the language."""
    return (
        f"Measured in {measured_in(run, by_server)}; the document's figure is for "
        f"{the_ledger().language}."
    )


def language_of_steps(run: Run) -> str:
    """The sentence on languages where steps stand beside the document's."""
    language = the_ledger().language
    native = [name for name in run.settings.backends if name in NATIVE]
    if len(native) == len(run.settings.backends):
        return f"Measured in C++; the document's figures are for {language}."
    also = f", those of {' and '.join(native)} in C++" if native else ""
    return f"Measured in {measured_in(run)}{also}; the document's figures are for {language}."


def language_summary(
    run: Run, judgements: Sequence[Judgement], in_cpp: Sequence[Judgement] = ()
) -> str | None:
    """How many of the claims that do not hold are such costs, in a sentence; None: none."""
    failing = [j for j in judgements if j.verdict == "does not hold"]
    costs = sum(j.language is not None for j in failing)
    if not costs:
        return None
    language = the_ledger().language
    held = {j.claim.id for j in in_cpp if j.verdict == "holds"}
    there = sum(j.language is not None and j.claim.id in held for j in failing)
    otherwise = (
        f"of these {there} hold there" if in_cpp else f"what {language} takes was not measured"
    )
    return (
        f"Of the {len(failing)} that do not hold {costs} are absolute costs (times, CPU, memory, "
        f"rates), measured in {measured_in(run)}; the document's figures are for {language}, and "
        f"{otherwise}."
    )
