"""Does the lab tell equals apart? `python -m benchmarks.aa [--runs 20] [--backend thread-pool]`

Runs a backend against itself, `--runs` times with a new seed each, and counts the headline metrics
in which a verdict of better, worse, more or fewer came out: all of them false. The mark is at most
1 in 20 for each metric. What a run of these settings could have ruled out is the median over the
runs.

The record, `results/control/control.json`, is written after each run: started again with the same
options, on the same machine, it goes on where it stopped, and `--step N` stops after N more runs.
`labrun compare` quotes it. Each run is also a line of `results/control/aa.jsonl`, which only grows.
Exit status 0 when every metric meets the mark, 1 when not, 2 when it could not be run, 130 when
interrupted.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import msgspec

from benchmarks.common import lab_settings, print_table
from benchmarks.kept import Kept
from harness.core.errors import LabError
from harness.core.metrics import BY_PATH
from harness.core.record import Settings
from harness.core.units import percent
from harness.session.run import keep_controls
from harness.session.settings import design_options
from harness.studies.compare.aa_control import (
    CONTROL_FILE,
    FEWEST_RUNS,
    ControlData,
)

KEPT_FILE = Path("control") / "aa.jsonl"
FALSE_ALARMS_ALLOWED = 1 / 20


def tell(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


def show(data: ControlData) -> bool:
    """The table of one backend; whether every metric meets the mark."""
    rows, every = [], True
    for found in data.headline:
        allowed = math.floor(found.judged * FALSE_ALARMS_ALLOWED)
        # Fewer than 20 runs cannot show 1 in 20: one false verdict is then allowed as well.
        holds = found.false_alarms <= max(1, allowed)
        every = every and holds and found.judged > 0
        word = "met" if holds else "MISSED"
        if found.judged < FEWEST_RUNS:
            word = f"{word} so far" if found.judged else "no interval"
        rate = f"{found.false_alarms / found.judged:.0%}" if found.judged else "-"
        limit = "-" if found.ruled_out is None else percent(found.ruled_out)
        rows.append(
            [
                BY_PATH[found.metric].title,
                str(found.judged),
                str(found.false_alarms),
                rate,
                limit,
                word,
            ]
        )
    backend, runs = data.settings.backends[0], len(data.runs)
    spoilt = sum(run.invalid for run in data.runs)
    trials = sum(run.trials for run in data.runs)
    print_table(
        f"{backend} against itself, {data.settings.rps[0]:,.0f} RPS, {runs} runs of "
        f"{data.settings.rounds} rounds of {data.settings.duration_s:g} s; "
        f"{spoilt} of {trials} trials generator-limited",
        ("headline", "judged", "false", "rate", "ruled out above (median)", "mark: 1 in 20"),
        rows,
    )
    return every


def options(prog: str, description: str | None) -> argparse.ArgumentParser:
    """What this benchmark and `benchmarks.repeat` have in common."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--design", choices=("blocks", "trials"), default="blocks")
    parser.add_argument("--rounds", type=int, help="of each run (blocks 8, trials 5)")
    parser.add_argument("--duration", type=float, help="seconds (blocks 3.5, trials 5)")
    parser.add_argument("--warmup", type=float, help="seconds (blocks 0.7, trials 1)")
    parser.add_argument("--rps", default="2000", help="one level (default 2000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="default: results")
    return parser


def settings_of(found: argparse.Namespace, backends: str) -> Settings:
    """The settings that were asked for. Raises `LabError`."""
    if "," in found.rps:
        raise LabError(f"--rps {found.rps}: one level at a time, please")
    if found.runs < 1:
        raise LabError(f"--runs must be 1 or more, not {found.runs}")
    design = design_options(
        found.design, found.rounds, found.duration, found.warmup, None, "open-loop", None
    )
    return lab_settings(rps=found.rps, seed=found.seed, backends=backends, **design)


def in_steps(settings: Settings, wanted: int, results: Path, kept: Kept) -> ControlData:
    """All runs that are wanted, as far as this step goes. Raises `LabError`."""
    data = keep_controls(settings, 0, results, tell)
    for number in range(1, wanted + 1):
        seeds = {run.seed for run in data.runs}
        seed = settings.seed + number - 1
        if seed in seeds:
            continue
        if not kept.may_go_on():
            break
        data = keep_controls(settings, number, results, tell)
        (last,) = (run for run in data.runs if run.seed == seed)
        kept.add_control("aa", msgspec.structs.replace(settings, seed=seed), last)
    return data


def main() -> int:
    """Exit status as above."""
    parser = options("python -m benchmarks.aa", __doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each backend (default 20)")
    parser.add_argument("--backend", action="append", help="default: thread-pool; may be repeated")
    parser.add_argument("--step", type=int, help="at most so many runs now (default: all)")
    found = parser.parse_args()
    try:
        met, kept = [], Kept(found.out / KEPT_FILE, found.step)
        for backend in found.backend or ["thread-pool"]:
            settings = settings_of(found, f"{backend},{backend}")
            met.append(show(in_steps(settings, found.runs, found.out, kept)))
    except LabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; start it again to go on", file=sys.stderr)
        return 130
    print(f"Record: {found.out / CONTROL_FILE}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
