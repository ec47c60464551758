"""The record of a gallery file, as typed and limited as a stranger's file must be.

It has no field for a host, a path, a user, a command or free text, and each of its texts is of few
letters, so that it can neither tell more than it says here nor be anything else than text where it
is shown. The JSON Schema beside the package is generated from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from harness.core.record import Arrivals, Design, DriverName, Verdict, with_clean_descriptions

GALLERY_SCHEMA = 1

Meta = msgspec.Meta
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:+#=,()-]*$", max_length=60)]
"""Of a server, an interpreter or a kernel."""
Model = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:+#=,()@-]*$", max_length=100)]
"""Of a CPU, whose clock stands after an @."""
Path = Annotated[str, Meta(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", max_length=100)]
"""Of a metric."""
Count = Annotated[int, Meta(ge=0, le=10**12)]
Figure = Annotated[float, Meta(ge=0, le=1e15)]
Rate = Annotated[float, Meta(gt=0, le=1e9)]
Seconds = Annotated[float, Meta(gt=0, le=1e6)]
End = Literal["median", "ratio", "ci_low", "ci_high"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's summary. `gallery`: the schema's number. `created`: when the run began, UTC.
    `confidence`: of the intervals of ratios, as a share."""

    gallery: Literal[1]
    created: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$", max_length=20)]
    machine: Machine
    settings: LoadSummary
    arms: Annotated[list[Arm], Meta(min_length=2, max_length=20)]
    trials: TrialCounts
    confidence: Annotated[float, Meta(ge=0.5, lt=1)]
    cells: Annotated[list[CellSummary], Meta(max_length=1000)]
    comparisons: Annotated[list[Ratio], Meta(min_length=1, max_length=10_000)]


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What could explain a figure, and names no machine: `kernel` is its release."""

    cpu_model: Model | None
    cpu_count: Annotated[int, Meta(ge=1, le=100_000)]
    memory_bytes: Count
    kernel: Name
    virtualisation: Name | None


class LoadSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that a ratio depends on; as in `run.json`."""

    design: Design
    rounds: Annotated[int, Meta(ge=1, le=100_000)]
    duration_s: Seconds
    block_s: Seconds | None
    clients: Annotated[int, Meta(ge=1, le=10**6)]
    timeout_s: Seconds
    arrivals: Arrivals
    workload: Name
    driver: DriverName
    connections: Name
    workers: Annotated[int, Meta(ge=1, le=10**6)]
    queue_size: Annotated[int, Meta(ge=0, le=10**9)]


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the servers compared; the first is the baseline. `language`: what it is written in,
    None where the lab does not know. `python`: the interpreter that ran it, and `gil` whether its
    global lock was on; None of what is not known to be Python."""

    name: Name
    language: Literal["Python", "C++"] | None
    python: Name | None
    gil: bool | None


class TrialCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many trials there were of each class."""

    sound: Count
    server_saturated: Count
    generator_limited: Count


class CellSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Medians of one arm (its place in `arms`) at one level, by the path of the metric."""

    arm: Annotated[int, Meta(ge=0, le=19)]
    rps: Rate
    metrics: Annotated[dict[Path, Estimate], Meta(max_length=100)]


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As a `CellMetric`: `beyond` names the ends that lie among the failures."""

    median: Figure | None
    ci_low: Figure | None
    ci_high: Figure | None
    beyond: Annotated[list[End], Meta(max_length=3)] = []


class Ratio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As a `Comparison`: of arm `arm` to the first. `beyond` names what is infinite."""

    arm: Annotated[int, Meta(ge=1, le=19)]
    rps: Rate
    metric: Path
    ratio: Figure | None
    ci_low: Figure | None
    ci_high: Figure | None
    verdict: Verdict
    beyond: Annotated[list[End], Meta(max_length=3)] = []


def gallery_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every gallery file validates against."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"MetricStream lab gallery file, schema {GALLERY_SCHEMA}",
        **with_clean_descriptions(msgspec.json.schema(Entry)),
    }


if __name__ == "__main__":
    import json

    # python -m harness.gallery.record > harness/gallery.schema.json
    print(json.dumps(gallery_schema(), indent=1))
