"""The ledger is whole, says what the document says, and is told apart from a broken one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from harness.core.errors import LabError
from harness.studies.claims.estimators import MEASURES
from harness.studies.claims.ledger import LEDGER_FILE, load_ledger, the_ledger
from harness.studies.claims.records import document_words

DOCUMENT = Path(__file__).parents[5] / "shared/design/metricstream-architecture.md"


def headings() -> list[tuple[str, ...]]:
    """Each heading of the document with those above it."""
    above: list[str] = []
    found = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            depth = len(line) - len(line.lstrip("#"))
            above = [*above[: depth - 1], line.lstrip("# ").strip()]
            found.append(tuple(above))
    return found


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the design document is not at hand")
def test_every_section_is_a_heading_of_the_document() -> None:
    from harness.studies.claims.consistency import checks

    known = {" / ".join(path[1:]) for path in headings()}
    named = {claim.section for claim in the_ledger().claim} | {check.section for check in checks()}
    assert named <= known


def test_ids_are_unique_and_every_measure_is_used() -> None:
    claims = the_ledger().claim
    assert len({claim.id for claim in claims}) == len(claims)
    assert {claim.measure for claim in claims} == set(MEASURES)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("thread-create", "500 µs"),
        ("thread-destroy", "300 µs"),
        ("read-thread", "10 µs"), ("parse-pool", "1 µs"), ("rate-limit-thread", "5 µs"),
        ("decode-pool", "2 µs"), ("validate-thread", "1 µs"), ("write-pool", "10 µs"),
        ("close-thread", "5 µs"), ("work-thread", "34 µs"), ("work-pool", "34 µs"),
        ("enqueue-pool", "1 µs"), ("dispatch-pool", "1 to 11 µs"),
        ("total-thread", "834 µs"), ("total-pool", "45 µs"), ("total-ratio", "18×"),
        ("efficiency-thread", "4 %"), ("efficiency-pool", "75 %"),
        ("active-thread", "40 to 100"), ("active-pool", "16"), ("created-thread", "2,000"),
        ("created-pool", "0"), ("stacks-thread", "40 to 200 MiB"), ("stacks-pool", "32 MiB"),
        ("switches-thread", "4,000 or more"), ("switches-pool", "32"), ("switches-ratio", "125×"),
        ("median-thread", "2.2 ms"), ("median-pool", "45 µs"), ("median-ratio", "48×"),
        ("overhead-ratio", "72×"),
        ("success-500-thread", "98.5 %"), ("success-500-pool", "99.5 % or more"),
        ("success-1000-thread", "88 %"), ("success-1000-pool", "98 % or more"),
        ("success-2000-thread", "50 %"), ("success-2000-pool", "95 % or more"),
        ("success-5000-thread", "44 %"), ("success-5000-pool", "85 % or more"),
        ("success-10000-thread", "20 %"), ("success-10000-pool", "70 % or more"),
        ("max-thread", "2,000"), ("max-pool", "20,000 or more"), ("queue-depth", "0 to 50"),
        ("utilisation", "0.6 %"), ("worker-most", "22,000"), ("pool-most", "352,000"),
        ("thread-life", "30 to 50 ms"), ("cache-locality", "10 or less"),
        ("lock-contention", "more than 1×"),
    ],
)  # fmt: skip
def test_the_ledger_says_what_the_document_says(name: str, words: str) -> None:
    (claim,) = [claim for claim in the_ledger().claim if claim.id == name]
    assert document_words(claim) == words


WHOLE = """schema = 1
document = "d"
language = "C++"
backends = ["thread-per-request", "thread-pool"]
free = []
[[scenario]]
setting = "workers"
value = 16
otherwise = "{} workers"
[[claim]]
id = "a"
group = "g"
text = "t"
section = "s"
kind = "about"
value = 5
unit = "us"
measure = "median_us"
backend = "thread-pool"
rps = 2000
condition = "c"
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 2", "has schema 2; this lab reads 1"),
        ("schema = 1", "schema = ", "is broken"),
        ('kind = "about"', 'kind = "roughly"', "Invalid enum value 'roughly'"),
        ("value = 5\n", "", "'a' is of kind 'about', which needs value alone"),
        ("value = 5", "value = nan", "'a' needs figures that are finite"),
        ("value = 5", "value = 5\nlow = 1", "needs value alone"),
        ('measure = "median_us"', 'measure = "median"', "'median', which does not exist"),
        ("rps = 2000\n", "", "'median_us', which needs a level, rps"),
        ('backend = "thread-pool"\n', "", "needs a backend or a ratio"),
        ("rps = 2000", 'rps = 2000\nratio = ["a", "b"]', "which needs the unit 'times'"),
        ('id = "a"', 'id = ""', "needs an id"),
        ('setting = "workers"', 'setting = "hands"', "a run has no setting 'hands'"),
        ('unit = "us"', 'unit = "us"\nsource = "x"', "unknown field `source`"),
        ('condition = "c"\n', 'condition = "c"\n' + WHOLE[WHOLE.index("[[claim]]"):],
         "claim 'a' is there twice"),
    ],
)  # fmt: skip
def test_a_broken_ledger_is_one_clear_sentence(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    file = tmp_path / "claims.toml"
    file.write_text(WHOLE)
    assert [claim.id for claim in load_ledger(file).claim] == ["a"]
    assert old in WHOLE
    file.write_text(WHOLE.replace(old, new))
    with pytest.raises(LabError) as caught:
        load_ledger(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_ledger_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot read the ledger of claims"):
        load_ledger(tmp_path / "claims.toml")


def test_the_ledger_travels_with_the_package() -> None:
    assert (
        files("harness.studies.claims").joinpath("claims.toml").read_bytes()
        == LEDGER_FILE.read_bytes()
    )
