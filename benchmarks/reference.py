"""The reference run, whole: `python -m benchmarks.reference` (half an hour, nothing beside it).

Makes, one after the other, what `results/reference` consists of: the sweep over the document's
levels; the same backends driven by a closed loop, without overload and with it (`closed-loop/`);
the highest rate that each sustains (`capacity/`, without its raw rows); what no trial can stamp
(`anatomy.json`) and what claims need besides (`claims.json`), both measured after the sweep; the
same sweep of the servers in C++, without its rows (`native/`); then the charts and the report.
Each part is kept in `build/reference` until the whole is there, so that
a run that was interrupted goes on where it stopped. Raw rows are thinned on their way from there
(`harness.thin`): what is in `results/reference` goes into git. `labrun report --docs` then renews
the texts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness.core.errors import LabError
from harness.reading.runs import NATIVE_RUN, load_run
from harness.report.source import CAPACITY, CLOSED_LOOP
from harness.store import BLOCKS_FILE, REQUESTS_FILE, TIMELINE_FILE
from harness.studies.anatomy.account import ANATOMY_FILE, dissect, save_anatomy, saved_anatomy
from harness.studies.anatomy.apart import measure_apart
from harness.studies.claims.beside import measure_beside
from harness.studies.claims.judgement import CLAIMS_FILE, judged, save_judged
from harness.terminal.drawing import draw_anatomy
from harness.thin import keep_rows
from harness.views.style import nearest_level

BUILD, TARGET = Path("build/reference"), Path("results/reference")
PARTS = {  # the runs, by the name of their folder
    "sweep": ("compare", "--sweep"),
    CLOSED_LOOP: ("compare", "--rps", "2000,10000", "--rounds", "3", "--duration", "3",
                  "--driver", "closed-loop"),
    CAPACITY: ("capacity",),
}  # fmt: skip


def tell(line: str) -> None:
    """Progress, to standard error."""
    print(line, file=sys.stderr, flush=True)


def make(part: str, arguments: tuple[str, ...]) -> Path:
    """One run by the command line, unless it is there already; its folder. Raises `LabError`."""
    found = sorted(BUILD.glob(f"*-{part}"))
    if found and load_run(found[-1]).complete:
        return found[-1]
    tell(f"labrun {' '.join(arguments)}")
    command = [sys.executable, "-P", "-m", "harness.cli", *arguments]
    done = subprocess.run(
        [*command, "--out", str(BUILD), "--name", part], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise LabError(f"labrun {' '.join(arguments)} ended with status {done.returncode}")
    return sorted(BUILD.glob(f"*-{part}"))[-1]


def make_native(sweep: Path) -> None:
    """The sweep of the servers in C++, unless it is there already. Raises `LabError`."""
    made = sweep / NATIVE_RUN
    if made.exists() and load_run(made).complete:
        return
    shutil.rmtree(made, ignore_errors=True)
    tell(f"labrun claims {sweep} --native")
    command = [sys.executable, "-P", "-m", "harness.cli", "claims", str(sweep), "--native"]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise LabError("the servers in C++ could not be measured")


def put_together(folders: dict[str, Path]) -> None:
    """The parts as one folder, in place of what was there; raw rows thinned. Of those that belong
    to the sweep what its report does not need is left out: reports of their own, the capacity's
    rows, and the table of blocks, which are in the record too."""
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.copytree(
        folders["sweep"],
        TARGET,
        ignore=shutil.ignore_patterns(REQUESTS_FILE, BLOCKS_FILE, NATIVE_RUN),
    )
    left = shutil.ignore_patterns(REQUESTS_FILE, TIMELINE_FILE, BLOCKS_FILE)
    shutil.copytree(folders["sweep"] / NATIVE_RUN, TARGET / NATIVE_RUN, ignore=left)
    keep_rows(folders["sweep"], TARGET, thin=True)
    reports = ("report.html", "report.md")
    left = shutil.ignore_patterns("charts", REQUESTS_FILE, *reports)
    shutil.copytree(folders[CLOSED_LOOP], TARGET / CLOSED_LOOP, ignore=left)
    keep_rows(folders[CLOSED_LOOP], TARGET / CLOSED_LOOP, thin=True)
    left = shutil.ignore_patterns(REQUESTS_FILE, TIMELINE_FILE, *reports)
    shutil.copytree(folders[CAPACITY], TARGET / CAPACITY, ignore=left)


def main() -> int:
    """Make what is missing; 1 where a part could not be made, 130 after Ctrl-C."""
    try:
        folders = {part: make(part, arguments) for part, arguments in PARTS.items()}
        sweep = folders["sweep"]
        run = load_run(sweep)
        if not (sweep / ANATOMY_FILE).exists():
            apart = measure_apart(run.settings, tell)
            save_anatomy(sweep, dissect(run, nearest_level(run), apart))
        if not (sweep / CLAIMS_FILE).exists():
            save_judged(sweep, judged(run, measure_beside(run.settings, tell)))
        make_native(sweep)
        put_together(folders)
        anatomy = saved_anatomy(TARGET)
        assert anatomy is not None
        draw_anatomy(run, anatomy, TARGET)
    except LabError as error:
        print(f"benchmarks.reference: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks.reference: interrupted; what is done is in build/reference",
              file=sys.stderr)  # fmt: skip
        return 130
    print(f"{TARGET}: whole. To renew the texts: labrun report {TARGET} --docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
