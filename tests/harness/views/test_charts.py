"""Charts of awkward runs: each comes out, says what it is, and follows its data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pandas as pd
import pytest

from harness.core.record import Run, Settings, Trial
from harness.report.charts import NAMES, draw_all, figure
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.compare.time_charts import curve
from harness.views import style
from harness.views.style import DARK, LIGHT

Made = tuple[Run, pd.DataFrame, pd.DataFrame]
Make = Callable[..., Made]
BACKENDS = ["thread-per-request", "thread-pool"]


def requests_frame(trials: list[Trial], ok_share: float) -> pd.DataFrame:
    frames = []
    for t in trials:
        size = 300
        times = np.random.default_rng(t.round).lognormal(5 + t.slot * 0.3, 0.5, size)
        failed = np.arange(size) >= size * ok_share
        frames.append(
            pd.DataFrame(
                {
                    "backend": t.backend, "slot": t.slot, "level": t.rps, "round": t.round,
                    "response_us": np.where(failed, np.nan, times),
                    "outcome": np.where(failed, "timeout", "ok"),
                }
            )
        )  # fmt: skip
    return pd.concat(frames) if frames else pd.DataFrame()


def timeline_frame(trials: list[Trial]) -> pd.DataFrame:
    steps = np.arange(1, 11) * 100
    frames = [
        pd.DataFrame(
            {
                "slot": t.slot, "level": t.rps, "round": t.round, "t_ms": steps,
                "threads_created": 0 if t.slot else 200, "threads_step_peak": 16,
                "queue_step_max": 3.0 if t.slot else np.nan,
            }
        )
        for t in trials
    ]  # fmt: skip
    return pd.concat(frames) if frames else pd.DataFrame()


@pytest.fixture
def make(environment: Any, make_trial: Callable[..., Trial]) -> Make:
    """A run with rows, by what is odd about it."""

    def build(
        *,
        backends: list[str] = BACKENDS,
        rps: list[float] | None = None,
        rounds: int = 5,
        ratio: float = 0.5,
        ok_share: float = 1.0,
        valid: bool = True,
        complete: bool = True,
    ) -> Made:
        levels = rps or [2000.0]
        trials = [
            make_trial(
                backend=backend, slot=slot, rps=level, number=n, valid=valid, ok_share=ok_share,
                cpu_us=100.0 * n * (ratio if slot else 1.0) * (1 + n * 0.001),
            )
            for n in range(1, rounds + 1)
            for level in levels
            for slot, backend in enumerate(backends)
        ]  # fmt: skip
        settings = msgspec.convert(environment["settings"], Settings)
        settings = msgspec.structs.replace(settings, rps=levels, backends=backends, rounds=rounds)
        run = Run(
            schema=1, id="x", created="", complete=complete, command="labrun compare",
            environment=environment["environment"], settings=settings, trials=trials,
            cells=build_cells(settings, trials),
            comparisons=build_comparisons(settings, trials),
        )  # fmt: skip
        return run, requests_frame(trials, ok_share), timeline_frame(trials)

    return build


AWKWARD: dict[str, dict[str, Any]] = {
    "many levels": {"rps": [500.0, 1000.0, 2000.0, 5000.0, 10_000.0]},
    "one backend": {"backends": ["thread-pool"]},
    "a backend against itself": {"backends": ["thread-pool", "thread-pool"]},
    "a plugin and three backends": {"backends": [*BACKENDS, "my_pool:Backend"]},
    "no success": {"ok_share": 0.0},
    "half a success": {"ok_share": 0.5},
    "all invalid": {"valid": False},
    "one round": {"rounds": 1},
    "partial": {"complete": False},
    "no trial": {"rounds": 0},
}


@pytest.mark.parametrize("odd", AWKWARD.values(), ids=AWKWARD.keys())
def test_every_chart_comes_out_as_png_and_svg(make: Make, tmp_path: Path, odd: Any) -> None:
    assert_all_drawn(draw_all(*make(**odd), tmp_path))


def assert_all_drawn(paths: list[Path]) -> None:
    assert {p.name for p in paths} == {f"{n}.{kind}" for n in NAMES for kind in ("png", "svg")}
    for path in paths:
        assert path.stat().st_size > 1000
        if path.suffix == ".svg":
            assert path.stat().st_size < 400_000
            ElementTree.parse(path)


def svg_text(path: Path) -> str:
    return " ".join(" ".join(ElementTree.parse(path).getroot().itertext()).split())


def titles(make: Make, folder: Path, *names: str, **odd: Any) -> dict[str, str]:
    """All text of these charts of a run."""
    made = make(**odd)
    for name in names:
        drawn = figure(name, *made)
        with style.styled():
            style.save(drawn, folder, name)
    return {name: svg_text(folder / f"{name}.svg") for name in names}


def test_titles_follow_the_data(make: Make, tmp_path: Path) -> None:
    less = titles(make, tmp_path / "less", "cost", ratio=0.5)["cost"]
    more = titles(make, tmp_path / "more", "cost", ratio=1.5)["cost"]
    same = titles(make, tmp_path / "same", "cost", ratio=1.0)["cost"]
    assert re.search(r"0\.50× the CPU per request \(95 % CI", less)
    assert re.search(r"1\.50× the CPU per request \(95 % CI", more)
    assert "× the CPU per request (95" not in same


def test_invalid_and_partial_runs_say_so(make: Make, tmp_path: Path) -> None:
    text = titles(make, tmp_path / "a", "distribution", "success", valid=False)
    assert "10 of 10 trials invalid, not compared" in text["distribution"]
    assert "no trial was valid" in text["success"]
    assert "PARTIAL" in titles(make, tmp_path / "b", "success", complete=False)["success"]


def test_equal_data_give_equal_files_whose_text_is_text_with_units(
    make: Make, tmp_path: Path
) -> None:
    for folder in ("first", "second"):
        assert_all_drawn(draw_all(*make(), tmp_path / folder))
    for name in NAMES:
        first, second = ((tmp_path / f / f"{name}.svg").read_bytes() for f in ("first", "second"))
        assert first == second
    text = {name: svg_text(tmp_path / "first" / f"{name}.svg") for name in NAMES}
    assert "response time, from the intended time (log scale)" in text["distribution"]
    assert "CPU per request (µs)" in text["cost"]
    assert "time (s)" in text["storm"]
    assert "offered load (requests/s)" in text["success"]


def test_a_failed_request_is_infinitely_slow_and_ends_the_curve() -> None:
    frame = pd.DataFrame(
        {"response_us": np.arange(1.0, 101.0), "outcome": ["ok"] * 90 + ["rejected"] * 10}
    )
    x, y, share_ok = curve(frame)
    assert share_ok == 0.9
    assert x[-1] == pytest.approx(1.0)  # one nine: the 90th percentile
    assert y[-1] == 90.0


def luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_two_colours_survive_greyscale() -> None:
    assert luminance(LIGHT) - luminance(DARK) > 0.25


def test_a_chart_that_is_not_there_is_named(make: Make) -> None:
    with pytest.raises(ValueError, match="there is no chart 'pie'"):
        figure("pie", *make())
