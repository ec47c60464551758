"""In which language a cost was measured, and which the document's figure is for. Pure.

An absolute cost is one of a program in a language: that the lab's servers take 15 µs for what the
document gives 1 µs says little of the document's own server. So each judgement on such a claim says
so, and so does the count of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.record import Run
from harness.studies.claims.ledger import the_ledger
from harness.studies.claims.records import Judgement
from servers.native.build import NATIVE


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
