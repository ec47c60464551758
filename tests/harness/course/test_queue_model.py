"""The queue model: notebook 7's arithmetic, the textbook's, and the same events as the page's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import simpy
from playwright.sync_api import Page, sync_playwright

from harness.course.queue_model import (
    Architecture,
    Event,
    ModelSettings,
    Sfc32,
    erlang_c,
    minus_ln,
    simulate,
)
from tests.support.chromium import PATIENCE_MS, launch

ROOT = Path(__file__).parents[3]
ARCHITECTURES: tuple[Architecture, ...] = ("thread-per-request", "thread-pool", "event-loop")
PLAIN = ModelSettings(rate=900, slice_us=0)
BUSY = ModelSettings(rate=700, cpu_us=900, io_us=15_000, cores=2, slice_us=400, thread_us=70)
SETTINGS = {
    "one core": PLAIN,
    "two cores, slices and waiting": BUSY,
    "constant": replace(BUSY, arrivals="constant", service="constant", rate=333.3),
    "few workers": replace(BUSY, workers=4, queue=20),
    "newest first": replace(BUSY, rate=1500, workers=4, queue=50, policy="lifo"),
    "expired": replace(PLAIN, rate=1500, queue=10_000, policy="drop-expired", patience_ms=150),
    "slow clients": replace(PLAIN, rate=200, slow=0.05, slow_io_us=2e6, slow_cpu_us=0.5),
    "nothing to do": replace(PLAIN, cpu_us=0, slow=0.01, slow_io_us=4e5, workers=1),
    "a rare load": replace(PLAIN, rate=0.1),
}  # fmt: skip
SECONDS = 3.0


@pytest.fixture(scope="module")
def twin() -> Iterator[Page]:
    """A page with the simulator's model and nothing else."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_script_tag(path=ROOT / "docs" / "simulator" / "model.js")
        yield page
        browser.close()


@cache
def events_of(settings: ModelSettings, architecture: Architecture) -> list[Event]:
    """What happens in the first seconds. Not to be changed."""
    return simulate(settings, architecture, SECONDS)


def of_the_page(twin: Page, settings: ModelSettings, architecture: Architecture) -> list[Event]:
    """What the page's model makes of the same settings."""
    told = twin.evaluate(
        "([settings, architecture, seconds]) =>"
        " JSON.stringify(Model.simulate(settings, architecture, seconds))",
        [asdict(settings), architecture, SECONDS],
    )
    return [Event(*row) for row in json.loads(told)]


def assert_twins(twin: Page, settings: ModelSettings, architecture: Architecture) -> None:
    events = events_of(settings, architecture)
    assert of_the_page(twin, settings, architecture) == events
    assert len(events) > 100 or settings.rate < 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_pages_model_has_the_same_events(
    twin: Page, settings: ModelSettings, architecture: Architecture
) -> None:
    assert_twins(twin, settings, architecture)


# What is drawn is drawn before anybody serves it: of one architecture.
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("seed", [20_261_128, 2**32 - 1])
def test_another_seed_makes_no_difference_between_them(
    twin: Page, settings: ModelSettings, seed: int
) -> None:
    assert_twins(twin, replace(settings, seed=seed), "thread-pool")


def test_another_seed_has_other_events() -> None:
    one, other = (simulate(replace(PLAIN, seed=seed), "thread-pool", 1) for seed in (1, 2))
    assert one != other


def test_both_servers_get_the_same_requests() -> None:
    loads = [
        [(e.at_ns, e.request) for e in simulate(BUSY, each, 1) if e.kind == "arrive"]
        for each in ARCHITECTURES
    ]
    assert loads[0] == loads[1] == loads[2]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_request_ends_once_or_is_there(
    settings: ModelSettings, architecture: Architecture
) -> None:
    events = events_of(settings, architecture)
    arrived = {e.request for e in events if e.kind == "arrive"}
    ends = [e.request for e in events if e.kind in ("answer", "reject", "drop")]
    assert len(ends) == len(set(ends))
    assert set(ends) <= arrived
    assert [e.at_ns for e in events] == sorted(e.at_ns for e in events)
    kinds = {e.kind for e in events if e.kind in ("queue", "reject", "drop")}
    assert not kinds or architecture == "thread-pool"


def response_times_ns(events: list[Event]) -> dict[int, int]:
    """Of each answered request, by its number."""
    arrived = {e.request: e.at_ns for e in events if e.kind == "arrive"}
    return {e.request: e.at_ns - arrived[e.request] for e in events if e.kind == "answer"}


class _Chance:
    """NumPy's generator as notebook 7 uses it, with the numbers of this one."""

    def __init__(self, seed: int) -> None:
        self._gaps = Sfc32(seed, 1)

    def exponential(self, mean: float) -> float:
        return round(mean * 1e9 * self._gaps.exponential()) / 1e9


def notebooks_model() -> Any:
    """The function `simulate` of notebook 7, drawing from this generator."""
    page = json.loads((ROOT / "notebooks" / "07-past-this-machine.ipynb").read_text("utf-8"))
    cells = ["".join(c["source"]) for c in page["cells"] if c["cell_type"] == "code"]
    numpy = SimpleNamespace(random=SimpleNamespace(default_rng=_Chance), array=np.array)
    names: dict[str, Any] = {"simpy": simpy, "np": numpy}
    for cell in cells:
        if cell.startswith(("def request(", "def simulate(")):
            exec(cell, names)
    return names["simulate"]


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("seed", [1, 7])
def test_it_is_the_model_of_notebook_7(cores: int, seed: int) -> None:
    rate, cost_us = 1800 * cores, 500.0
    theirs = notebooks_model()(rate, cost_us, seconds=2, seed=seed, cores=cores)
    settings = ModelSettings(
        seed=seed, rate=rate, service="constant", cpu_us=cost_us, cores=cores, slice_us=0
    )
    ours = response_times_ns(simulate(settings, "thread-per-request", 3))
    # That one lets the first request after its end in, and then no more; times are floats there.
    assert len(theirs) > 3000
    assert theirs == pytest.approx([ours[n] / 1e3 for n in range(len(theirs))], abs=0.01)


@pytest.mark.parametrize(("cores", "rate", "seconds"), [(1, 700.0, 40), (4, 3000.0, 20)])
def test_it_comes_to_what_erlang_says(cores: int, rate: float, seconds: float) -> None:
    settings = replace(PLAIN, cores=cores, rate=rate)
    events = simulate(settings, "thread-per-request", seconds)
    taken_ns = list(response_times_ns(events).values())
    waits = erlang_c(cores, rate / 1000)
    mean_ms = 1 + waits / (cores * (1 - rate / 1000 / cores))
    assert sum(taken_ns) / len(taken_ns) / 1e6 == pytest.approx(mean_ms, rel=0.05)


def test_erlang_c_of_the_tables() -> None:
    assert erlang_c(1, 0.8) == pytest.approx(0.8)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(5, 4.0) == pytest.approx(0.5541, abs=1e-4)


def test_the_logarithm_is_right_to_the_last_digits() -> None:
    for numerator in (1, 2, 3, 65_537, 2**31, 2**31 + 1, 3_037_000_500, 2**32 - 1):
        x = numerator / 2**32
        assert minus_ln(x) == pytest.approx(-math.log(x), rel=1e-14)
    assert minus_ln(1.0) == 0


def test_the_generator_is_sfc32() -> None:
    """By its author's definition, written out once more with NumPy's 32-bit numbers."""
    with np.errstate(over="ignore"):
        a, b, c, counter = (np.uint32(n) for n in (12_345, 2, 0x9E3779B9, 1))
        drawn = []
        for _ in range(115):
            total = a + b + counter
            counter = counter + np.uint32(1)
            a = b ^ (b >> np.uint32(9))
            b = c + (c << np.uint32(3))
            c = ((c << np.uint32(21)) | (c >> np.uint32(11))) + total
            drawn.append(int(total))
    generator = Sfc32(12_345, 2)
    assert [generator.next() for _ in range(100)] == drawn[15:]
