"""Raw rows in git are thinned to what report, charts and notebooks need, and are under 2 MB.

The last part of "No figure that flatters": a made-up run says the same from its thinned rows as
from all of them, and what is in the repository keeps to its bound.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from harness.core.errors import LabError
from harness.core.record import Outcomes, Run
from harness.report.source import load_source
from harness.stats.weighted import weights
from harness.store import REQUESTS_FILE, TIMELINE_FILE, RunFolder
from harness.studies.compare.time_charts import Measured, curve, gaps, service_us
from harness.studies.compare.waterfall import BANDS, PARTS, band, parts_of, quantiles, sent_after_us
from harness.thin import SLOWEST, keep_rows, rounded, thinned, write_rows
from tests.support.made import make_run, make_trial

ROOT = Path(__file__).parents[2]
MOST_BYTES = 2_000_000
LEVELS = (500.0, 6000.0)
OUTCOMES = ["ok", "timeout", "refused", "unsent"]
TRIAL = ["slot", "level", "round"]
TIMES = ["lag_us", "connect_us", "response_us"]

Made = tuple[Run, pd.DataFrame, pd.DataFrame]


def made_rows(slot: int, level: float, number: int) -> pd.DataFrame:
    """A trial of one second, made up: skewed times, timeouts, quick refusals, some never sent."""
    size = int(level)
    random = np.random.default_rng([slot, size, number])
    outcome = random.choice(4, size, p=[0.9, 0.06, 0.03, 0.01] if slot else [1, 0, 0, 0])
    lag = random.lognormal(1.5, 1.0, size)
    connect = random.lognormal(3.5, 0.4, size)
    response = lag + connect + random.lognormal(5 + slot / 3, 0.9, size)
    response = np.select([outcome == 1, outcome == 2], [1e6 + lag, lag + connect], response)
    unsent = outcome == 3
    return pd.DataFrame(
        {
            "backend": pd.Categorical(["thread-pool" if slot else "thread-per-request"] * size),
            "slot": np.int8(slot), "level": level, "round": np.int32(number),
            "client": random.integers(0, 10, size).astype(np.int32),
            "intended_us": np.sort(random.uniform(0, 1e6, size)),
            "lag_us": np.where(unsent, np.nan, lag),
            "connect_us": np.where(unsent, np.nan, connect),
            "response_us": np.where(unsent, np.nan, response),
            "outcome": pd.Categorical.from_codes(outcome, categories=pd.Index(OUTCOMES)),
            "status": np.where(outcome == 0, 202, 0).astype(np.int16),
        }
    )  # fmt: skip


@cache
def made_run(driver: str = "open-loop") -> tuple[Run, pd.DataFrame]:
    """Two backends, two levels, four rounds, the last without effect; not to be changed."""
    trials, frames = [], []
    for level in LEVELS:
        for number in (1, 2, 3, 4):
            for slot in (0, 1):
                frames.append(made_rows(slot, level, number))
                trial = make_trial(slot, number, rps=level, valid=number < 4)
                found = frames[-1]["outcome"].value_counts()
                names = Outcomes.__struct_fields__
                outcomes = Outcomes(**{name: int(found.get(name, 0)) for name in names})
                client = msgspec.structs.replace(
                    trial.client, scheduled=len(frames[-1]), outcomes=outcomes
                )
                trials.append(msgspec.structs.replace(trial, client=client))
    run = make_run(trials, rps=list(LEVELS), rounds=4, driver=driver)
    return run, pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def made() -> Made:
    """The run, all of its rows, and those that are kept."""
    run, rows = made_run()
    return run, rows, thinned(run, rounded(run, rows))


def assert_same_times(kept: pd.Series, whole: pd.Series) -> None:
    """To a 32nd of a microsecond, or to one part in 8,192."""
    np.testing.assert_allclose(kept, whole, rtol=1 / 8192, atol=1 / 32)


def test_rounding_leaves_every_row_and_four_digits(tmp_path: Path) -> None:
    run, rows = made_run()
    kept = rounded(run, rows)
    assert len(kept) == len(rows)
    for column in TIMES:
        assert_same_times(kept[column], rows[column])
    assert (kept["intended_us"] - rows["intended_us"]).abs().max() <= 0.5
    pd.testing.assert_frame_equal(rounded(run, kept), kept)
    some = kept["round"] == 1
    write_rows(kept[some], tmp_path / "kept.parquet")
    again = pd.read_parquet(tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(again, kept[some].reset_index(drop=True))
    rows[some].to_parquet(tmp_path / "whole.parquet", index=False, compression="zstd")
    small, large = ((tmp_path / f"{n}.parquet").stat().st_size for n in ("kept", "whole"))
    assert small < large / 2


def test_weights_add_up_to_every_trials_outcomes(made: Made) -> None:
    _, rows, kept = made
    assert len(kept) < len(rows) / 2
    counted = rows.groupby([*TRIAL, "outcome"], observed=True).size()
    stood_for = kept.groupby([*TRIAL, "outcome"], observed=True)["weight"].sum()
    pd.testing.assert_series_equal(stood_for, counted, check_names=False, check_dtype=False)
    assert kept["weight"].min() == 1
    # In the order that they had, and all of them rows of the run.
    assert kept.groupby(TRIAL)["intended_us"].apply(lambda at: at.is_monotonic_increasing).all()
    assert len(kept.merge(rounded(*made[:2]))) >= len(kept)


def test_a_row_stands_for_a_hundredth_of_those_slower_at_most(made: Made) -> None:
    for _, trial in made[2].groupby([*TRIAL, "outcome"], observed=True):
        slowest = trial.sort_values("response_us", ascending=False, kind="stable")["weight"]
        up_to = slowest.cumsum()
        assert (slowest[up_to <= SLOWEST] == 1).all()
        assert (slowest <= np.maximum(1, up_to / SLOWEST)).all()


def test_the_distribution_is_the_same_exactly_at_the_tail(made: Made) -> None:
    run, rows, kept = made
    for level in LEVELS:
        for slot in range(2):
            for rounds in ((1, 2, 3), (1,)):
                whole, thin = (
                    f[(f["slot"] == slot) & (f["level"] == level) & f["round"].isin(rounds)]
                    for f in (rounded(run, rows), kept)
                )
                assert_same_curve(whole, thin)


def assert_same_curve(whole: pd.DataFrame, thin: pd.DataFrame) -> None:
    """The same requests stand at the tail; elsewhere a rank is off by a fiftieth of how many are
    slower at most."""
    x, y, share = curve(whole)
    again_x, again_y, again_share = curve(thin)
    np.testing.assert_array_equal(again_x, x)
    assert again_share == share
    assert again_y[0] == y[0]
    ok = np.sort(whole.loc[whole["outcome"] == "ok", "response_us"].to_numpy())
    sent = int((whole["outcome"] != "unsent").sum())
    rank = np.clip(np.ceil((1 - 10.0**-x) * sent).astype(int) - 1, 0, len(ok) - 1)
    slower = len(ok) - rank
    assert (slower <= SLOWEST).any()
    np.testing.assert_array_equal(again_y[slower <= SLOWEST], y[slower <= SLOWEST])
    off = slower // (SLOWEST // 2) + 2
    assert (again_y >= ok[np.maximum(rank - off, 0)]).all()
    assert (again_y <= ok[np.minimum(rank + off, len(ok) - 1)]).all()


@pytest.mark.parametrize("driver", ["open-loop", "closed-loop"])
def test_the_waterfall_is_the_same(driver: str) -> None:
    run, rows = made_run(driver)
    exact = rounded(run, rows)
    kept = thinned(run, exact)
    for level in LEVELS:
        for slot in range(2):
            whole, same, thin = (parts_of(run, f, slot, level) for f in (rows, exact, kept))
            for part in (*PARTS, "response_us"):
                found, right = quantiles(thin, part), quantiles(whole, part)
                assert found == quantiles(same, part)
                assert found is not None
                assert right is not None
                assert found.p50_us == pytest.approx(right.p50_us, rel=1e-3, abs=0.1)
                assert found.p99_us == pytest.approx(right.p99_us, rel=1e-3, abs=0.1)
            for percentile, width, _ in BANDS:
                drawn, all_of_it = band(thin, percentile, width), band(same, percentile, width)
                assert drawn is not None
                assert all_of_it is not None
                assert drawn.requests == all_of_it.requests
                assert drawn.parts_us == pytest.approx(all_of_it.parts_us, rel=0.05)


def test_a_closed_loop_keeps_when_its_requests_were_sent() -> None:
    run, rows = made_run("closed-loop")
    kept = thinned(run, rounded(run, rows))
    assert_same_times(rounded(run, rows)["sent_after_us"], sent_after_us(rows))
    for level in LEVELS:
        whole, thin = Measured(run, rows), Measured(run, kept)
        right = gaps(run, rows, whole, level)
        assert gaps(run, kept, thin, level) == pytest.approx(right, rel=2e-2)
        for backend in run.settings.backends:
            found, there = (service_us(m, backend, level) for m in (thin, whole))
            assert found.total == there.total
            assert found.quantile(1.0) == pytest.approx(there.quantile(1.0), rel=1e-3)


def test_a_level_or_rows_without_any_valid_trial_can_be_thinned() -> None:
    run, rows = made_run()
    trials = [msgspec.structs.replace(t, valid=t.slot == 0 and t.valid) for t in run.trials]
    run = msgspec.structs.replace(run, trials=trials)
    kept = thinned(run, rounded(run, rows))
    assert kept["weight"].sum() == len(rows)
    none_ok = rows[rows["outcome"] != "ok"]
    assert thinned(run, rounded(run, none_ok))["weight"].sum() == len(none_ok)


# ---- files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up run as `labrun compare` leaves it, then thinned. Not to be changed."""
    folder = tmp_path_factory.mktemp("thin")
    run, rows = made_run()
    rows.to_parquet(folder / REQUESTS_FILE, index=False)
    steps = {name: [1] for name in ("slot", "level", "round", "t_ms", "threads_created",
                                    "threads_step_peak", "queue_step_max")}  # fmt: skip
    pd.DataFrame(steps).to_parquet(folder / TIMELINE_FILE, index=False)
    RunFolder(folder).save(run)
    keep_rows(folder, folder, thin=True)
    return folder


def test_a_thinned_folder_is_read_like_any_other_and_stays_thinned(
    made: Made, thin_folder: Path, tmp_path: Path
) -> None:
    _, rows, kept = made
    read = load_source(thin_folder).requests
    assert weights(read).sum() == len(rows)
    pd.testing.assert_frame_equal(read, kept)
    keep_rows(thin_folder, tmp_path, thin=True, level=LEVELS[1])
    again = pd.read_parquet(tmp_path / REQUESTS_FILE)
    expected = read[read["level"] == LEVELS[1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, expected)


def one_row_less(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[1:]


DAMAGE: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a row is missing": (one_row_less, "the two are not of one run"),
    "a weight of none": (lambda rows: rows.assign(weight=0), "does not count"),
    "weights are shares": (lambda rows: rows.assign(weight=0.5), "does not count"),
    "weights are words": (lambda rows: rows.assign(weight="many"), "does not count"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE.keys())
def test_rows_that_do_not_add_up_are_told(
    thin_folder: Path,
    tmp_path: Path,
    damage: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(thin_folder, folder)
    file = folder / REQUESTS_FILE
    damage(pd.read_parquet(file)).to_parquet(file, index=False)
    with pytest.raises(LabError, match=words):
        load_source(folder)


def test_the_rows_in_git_are_under_2_mb_together() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout, so what git keeps cannot be asked for")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "*.parquet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:  # a checkout of another user, say
        pytest.skip(f"git does not say what it keeps: {listed.stderr.strip()}")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert files
    sizes = {file: file.stat().st_size for file in files if file.exists()}
    largest = sorted(sizes, key=lambda file: -sizes[file])[:5]
    assert sum(sizes.values()) < MOST_BYTES, [(str(file), sizes[file]) for file in largest]
