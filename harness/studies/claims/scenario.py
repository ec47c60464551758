"""Which runs the document's claims are about: those in its scenario, as the ledger has it. Pure."""

from __future__ import annotations

from harness.core.errors import LabError
from harness.core.options import SERVED, in_words, usual
from harness.core.record import Run
from harness.studies.claims.ledger import the_ledger
from harness.studies.claims.records import Claim, Given
from servers.native.build import NATIVE

_MIB = 1 << 20


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
