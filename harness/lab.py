"""The lab from Python: what a notebook or a script needs, by the same ways as the command line.

    from harness.lab import compare
    first = compare("first", rps=2000)
    first.table()

Each experiment has a name. With `LAB_OFFLINE=1` in the environment nothing is measured: the
recorded run of that name is read instead, so that a notebook works where a machine cannot measure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.core.errors import LabError
from harness.core.options import ASKED
from harness.core.record import Settings, Trial
from harness.core.wording import slot_names
from harness.course.checks import check
from harness.course.files import recorded_folder
from harness.course.keeping import keep
from harness.course.predictions import calibration, predict, resolve, show_after
from harness.course.recorded import recorded
from harness.designs.trials import Planned, name_of
from harness.session.experiment import Experiment, Picture
from harness.session.settings import CompareOptions, make_settings
from harness.studies.anatomy.account import dissect
from servers.options import CHOSEN

if TYPE_CHECKING:
    from harness.measure.trial import Progress
    from harness.studies.claims.records import Judged

__all__ = [
    "BOTH",
    "Experiment",
    "LabError",
    "Picture",
    "anatomy",
    "calibration",
    "check",
    "claims",
    "compare",
    "load_run",
    "offline",
    "predict",
    "reference",
    "resolve",
    "say",
    "show_after",
]

BOTH = ("thread-per-request", "thread-pool")


def compare(
    name: str,
    *,
    rps: float | Sequence[float] = 2000,
    backends: Sequence[str] | None = None,
    arms: Mapping[str, str] | None = None,
    servers: Mapping[str, str] | Sequence[str] | None = None,
    rounds: int = 3,
    duration: float = 1.0,
    warmup: float = 0.3,
    out: str | Path = "results",
    **options: Any,
) -> Experiment:
    """Measure backends, or any servers, as `labrun compare` does; small defaults, for learning.

    `backends`: their names, the baseline first (None: both that are built in, unless there are
    arms or servers); `arms`: what else is compared, by a name of its own and with options of
    `labrun serve`, like `{"wide": "thread-pool --workers 64"}`; `rps`: one rate or several;
    `rounds`: five give an interval; `duration`, `warmup`: seconds; `options`: others of
    `labrun compare` by their names (`clients`, `workload`, `driver`, `timeout`, ...);
    `pythons="3.11,3.13"` compares interpreters, of the pool unless backends are named.

    `servers`: any others, by a name of their own and the command that starts them, in which
    `{port}` is a free port, or the address of one that runs:
    `{"old": "./old --port {port}", "live": "http://127.0.0.1:9000"}`; or a list of names, of
    `labrun.toml` or of peers that are installed (`["gunicorn", "waitress"]`). All are then seen
    from outside. What is sent: `request="GET /"`, `expect=200`, `body`, `header` (a list); how
    the commands start: `cwd`, `env` (a list of `NAME=VALUE`), `ready`, `ready_timeout`; a file of
    tables other than `labrun.toml`: `servers_file`.

    Offline a run of more rounds is cut after as many as were asked for; whatever else it has
    otherwise than was asked for is said in a line. Raises `LabError` for what cannot be measured,
    and offline where no run of that name was recorded.
    """
    rates = [rps] if isinstance(rps, int | float) else list(rps)
    typed_options = _as_options(options)
    if offline():
        asked = {"rps": rates, "backends": backends, "rounds": rounds, "duration": duration}
        return _recorded(name, asked | {"warmup": warmup} | options)
    typed = CompareOptions(
        rps=",".join(map(str, rates)),
        **_compared(backends, arms or {}, servers or (), options),
        rounds=rounds,
        duration_s=duration,
        warmup_s=warmup,
        out=str(out),
        name=name,
        **typed_options,
    )
    return _measured(make_settings(typed), Path(out), name)


def _measured(settings: Settings, out: Path, name: str) -> Experiment:
    """Run it into a folder below `out`; recorded for the course, where that is asked for. Raises
    `LabError` where it did not come to its end."""
    from harness.session.run import record_run

    command = f"harness.lab.compare({name!r})"
    result = record_run(settings, out, name, command, nullcontext(_Line(name, settings)))
    folder = result.folder
    if not result.run.complete:
        raise LabError(f"{result.run.incomplete_reason}; what was measured is in {folder.path}")
    if os.environ.get("LAB_RECORD"):
        keep(folder.path, name)
    return load_run(folder.path)


def anatomy(name: str, rps: float = 2000, **options: Any) -> Experiment:
    """The same as `compare`, and what no trial can stamp beside it: the end of a thread, the way
    back to the queue. See `Experiment.steps` and `Experiment.plot("anatomy")`. Of backends of our
    own alone: only a server itself can say what a step costs."""
    if options.get("servers") or options.get("servers_file"):
        raise LabError(
            "anatomy() asks a server for its steps, which only our own backends can say; "
            "labrun anatomy --server shows a request from outside"
        )
    found = compare(name, rps=rps, **options)
    if offline():
        return found
    from harness.studies.anatomy.account import save_anatomy
    from harness.studies.anatomy.apart import measure_apart

    save_anatomy(found.folder, dissect(found.run, rps, measure_apart(found.settings, _quiet)))
    if os.environ.get("LAB_RECORD"):
        keep(found.folder, name)
    return load_run(found.folder)


def say(text: str) -> None:
    """Show a sentence with figures in it, as text of the page in Jupyter."""
    from IPython.display import Markdown, display

    display(Markdown(text))  # type: ignore[no-untyped-call]


def claims(experiment: Experiment) -> pd.DataFrame:
    """Judges each of the design document's claims by an experiment: the document's figure, ours
    with its interval, the verdict, why, and for an absolute cost the language of both. Where the
    servers in C++ were measured too (the folder `native` of a run), `cpp` and `verdict_cpp` have
    their figure and the verdict by it; else they are None. Raises `LabError` for an experiment that
    the claims are not about."""
    from harness.reading.runs import native_of
    from harness.studies.claims.judgement import judged, load_judged, pairs
    from harness.studies.claims.ledger import check_about

    check_about(experiment.run)
    saved, native = load_judged(experiment.folder), native_of(experiment.folder, experiment.run)
    beside = _nothing_beside() if saved is None else saved.beside
    record: Judged = judged(experiment.run, beside, native)
    in_cpp = saved.in_cpp if native is None and saved is not None else record.in_cpp
    return pd.DataFrame(
        [
            {"claim": j.claim.text, "document": j.document, "here": j.ours, "verdict": j.verdict,
             "why": j.reason or "", "language": j.language or "",
             "cpp": other and other.ours, "verdict_cpp": other and other.verdict}
            for j, other in pairs(record.judgements, in_cpp)
        ]
    )  # fmt: skip


def load_run(path: str | Path) -> Experiment:
    """A run that was made before, from its folder. Raises `LabError` when it cannot be read."""
    from harness.report.source import load_source

    folder = Path(path)
    return Experiment(load_source(folder), folder if folder.is_dir() else folder.parent)


def reference() -> Experiment:
    """The reference run: a sweep over the document's levels, on the lab's own machine. Its raw
    rows are those of 2,000 RPS alone, and thinned: all of the slowest, of the others one for
    several, as the column `weight` says; the pictures count by it, and so must you. Raises
    `LabError` where it is not installed."""
    from harness.reading.runs import load_run as read
    from harness.report.source import Source
    from harness.store import REQUESTS_FILE, TIMELINE_FILE, read_rows
    from harness.studies.anatomy.account import saved_anatomy
    from harness.studies.claims.judgement import load_beside
    from harness.views.style import nearest_level

    folder = recorded_folder() / "reference"
    requests, timeline = (read_rows(folder / n) for n in (REQUESTS_FILE, TIMELINE_FILE))
    run = read(folder)
    assert set(requests["level"]) == {nearest_level(run)}
    source = Source(run, requests, timeline, None, None, load_beside(folder), saved_anatomy(folder))
    return Experiment(source, folder)


def _as_typed(named: Mapping[str, str] | Sequence[str]) -> list[str]:
    """Arms or servers as the command line takes them: `NAME=WHAT`, or a server's name alone."""
    if isinstance(named, Mapping):
        return [f"{name}={what}" for name, what in named.items()]
    return list(named)


def _compared(
    backends: Sequence[str] | None,
    arms: Mapping[str, str],
    servers: Mapping[str, str] | Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What is compared with what, as `CompareOptions` has it."""
    if backends is None:
        backends = _usual_backends(bool(arms or servers), options)
    return {
        "backends": ",".join(backends),
        "arms": _as_typed(arms),
        "server": _as_typed(servers),
    }


def _usual_backends(others: bool, options: Mapping[str, Any]) -> Sequence[str]:
    """Those that are compared where none is named: none beside `others`, one under interpreters."""
    if others or options.get("servers_file"):
        return ()
    return BOTH[1:] if options.get("pythons") else BOTH


def _as_options(options: dict[str, Any]) -> dict[str, Any]:
    """`CompareOptions` from options by their names on the command line. Raises
    `LabError` for one that is none."""
    known = {field.name.removesuffix("_s"): field.name for field in fields(CompareOptions)}
    served = {CHOSEN[name].flag.strip("-").replace("-", "_"): name for name in ASKED}
    for by_another_name in ("servers", "arms", "server", "url"):
        del known[by_another_name]
    strange = sorted(set(options) - set(known) - set(served))
    if strange:
        raise LabError(
            f"compare() has no option {strange[0]!r}; there are "
            f"{', '.join(sorted([*known, *served]))}"
        )
    servers = {served[name]: value for name, value in options.items() if name in served}
    others = {known[name]: value for name, value in options.items() if name in known}
    if "expect" in others:
        others["expect"] = str(others["expect"])
    if isinstance(others.get("pythons"), list | tuple):
        others["pythons"] = ",".join(others["pythons"])
    return others | {"servers": servers}


def offline() -> bool:
    """Whether nothing may be measured (`LAB_OFFLINE=1`)."""
    return os.environ.get("LAB_OFFLINE", "") not in ("", "0")


def _recorded(name: str, asked: Mapping[str, Any]) -> Experiment:
    """The recorded run of that name; in what it is otherwise than was asked for is said."""
    found, differs = recorded(name, asked)
    if differs is not None:
        print(f"{name}: a recorded run, with {differs}")
    return found


def _nothing_beside() -> Any:
    from harness.studies.claims.records import Beside

    return Beside()


def _quiet(line: str) -> None:
    """Progress that nobody asked for."""


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; that ipykernel was imported says nothing."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class _Line:
    """Progress as one line that is written over; in a notebook as an output that changes."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._names = slot_names(settings)
        self._total = 0
        self._number = 0
        self._shown: Any = None

    def trial_begins(self, planned: Planned, number: int, total: int) -> None:
        """Says which trial it is."""
        self._number, self._total = number, total
        who = name_of(planned, self._names)
        self._say(f"{who} at {planned.rps:,.0f} RPS, round {planned.round}")

    def progress(self, progress: Progress) -> None:
        """Nothing: a trial is short."""

    def trial_ended(self, trial: Trial) -> None:
        """Says that all is done, after the last."""
        if self._number == self._total:
            self._say("done")

    def _say(self, what: str) -> None:
        text = f"{self._name}: {self._number} of {self._total}: {what}"
        if not _in_notebook():
            sys.stdout.write(f"\r{text:<78}" + ("\n" if what == "done" else ""))
            sys.stdout.flush()
            return
        from IPython.display import Pretty, display

        if self._shown is None:
            self._shown = display(Pretty(text), display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(Pretty(text))  # type: ignore[no-untyped-call]
