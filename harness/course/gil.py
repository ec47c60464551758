"""The GIL, seen: runs `gil_script.py` under an interpreter or reads what was recorded; draws it.

`LAB_FREE_THREADED` is the path of a free-threaded build (`python3.13t`), for whoever has one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.ticker import NullFormatter

from harness.core.errors import LabError
from harness.course.files import notebooks_folder
from harness.course.pictures import Drawing, callout
from harness.views import style

_SCRIPT = Path(__file__).with_name("gil_script.py")
_LIMIT_S = 120
_NO_SECOND_CPU = 0.75  # of one thread's time: half is what two CPUs would take
FREE_THREADED = "LAB_FREE_THREADED"
# How the same build is told to run with the GIL and without it.
_SWITCHED = {"free-threaded-on": ("-X", "gil=1"), "free-threaded-off": ("-X", "gil=0")}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one interpreter did: as `gil_script.py` says it, and whether it was recorded."""

    found: dict[str, Any]
    recorded: bool

    @property
    def counting_ms(self) -> dict[str, float]:
        """Milliseconds of the same work, by who did it."""
        return {who: took * 1e3 for who, took in self.found["counting_s"].items()}

    @property
    def convoy(self) -> list[dict[str, Any]]:
        """Echoes and counting beside each other, by switch interval, the longest first."""
        rows: list[dict[str, Any]] = self.found["convoy"]
        return rows

    @property
    def gil(self) -> bool:
        """Whether the GIL was on, as the interpreter itself said at its end."""
        return bool(self.found["gil"])

    @property
    def name(self) -> str:
        """`CPython 3.13.5, GIL off`."""
        return f"CPython {self.found['version']}, GIL {'on' if self.gil else 'off'}"

    @property
    def second_cpu(self) -> bool:
        """Whether a second CPU was free: two processes, each with a lock of its own, show it."""
        ms = self.counting_ms
        return ms["two processes"] <= _NO_SECOND_CPU * ms["one thread"]

    def counting_says(self) -> str:
        """What the times say of the lock; nothing where no second CPU was free."""
        ms = self.counting_ms
        threads, processes = (
            ms[who] / ms["one thread"] for who in ("two threads", "two processes")
        )
        times = f"{self.name}: two processes take {processes:.2f} times as long as one thread"
        if not self.second_cpu:
            return (
                f"{times}, so no second CPU was free, and the {threads:.2f} times of two threads "
                "say nothing of the lock."
            )
        if threads > _NO_SECOND_CPU:
            return f"{times}, two threads {threads:.2f} times: it is the lock, and not the CPUs."
        return f"{times}, two threads {threads:.2f} times: they compute at the same time."

    def overlap(self) -> float:
        """Share of the time in which one of two counting threads went on, in which both did."""
        first, second = self.found["turns"]
        both = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)
        one = sum(end - begin for turn in (first, second) for begin, end in turn) - both
        return float(both / one) if one else 0.0

    def __repr__(self) -> str:
        whence = "recorded" if self.recorded else "measured just now"
        return f"{self.name} ({whence}; {self.found['cpus']} CPUs)"


def look(name: str = "with") -> Seen | None:
    """`with`: this interpreter; `free-threaded-on` and `free-threaded-off`: one build without the
    GIL, with it switched on and off, which takes `LAB_FREE_THREADED` or what was recorded. None,
    and a line that says so, where there is neither. Raises `LabError` for an interpreter that
    cannot run it."""
    path = sys.executable if name == "with" else os.environ.get(FREE_THREADED, "")
    record = notebooks_folder() / "gil" / f"{name}.json"
    if path and os.environ.get("LAB_OFFLINE", "") in ("", "0"):
        found = _run([path, *_SWITCHED.get(name, ())])
        if os.environ.get("LAB_RECORD"):
            record.parent.mkdir(exist_ok=True)
            record.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        return Seen(found, recorded=False)
    if record.is_file():
        return Seen(json.loads(record.read_text("utf-8")), recorded=True)
    print(f"{name} was not run: set {FREE_THREADED} to the path of a python3.13t")
    return None


def _run(command: list[str]) -> dict[str, Any]:
    said = f"{shlex.join(command)} {_SCRIPT.name}"
    try:
        done = subprocess.run(
            [*command, str(_SCRIPT)], capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except OSError as error:
        raise LabError(f"cannot run {said}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{said} took more than {_LIMIT_S} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise LabError(f"{said} failed: {last}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Turns:
    """Who went on when: one lane for each of two counting threads of each interpreter. Without the
    GIL and without a second CPU it is the kernel that lets one thread go on at a time: such a run
    is left out, and that is said."""

    def __init__(self, *seen: Seen | None) -> None:
        there = [one for one in seen if one is not None]
        self._seen = [one for one in there if one.gil or one.second_cpu]
        self._left_out = [one.name for one in there if one not in self._seen]

    def plot(self) -> Drawing:
        """A bar for each stretch in which a thread went on."""
        with style.styled():
            figure = style.new_figure(8.0, 1.6 + 0.85 * len(self._seen))
            axes = figure.subplots()
            lanes: list[tuple[float, str]] = []
            for number, seen in enumerate(self._seen):
                for thread, turn in enumerate(seen.found["turns"]):
                    lane = 2.6 * number + thread
                    spans = [(begin, max(end - begin, 0.05)) for begin, end in turn]
                    axes.broken_barh(
                        spans, (lane - 0.4, 0.8), color=(style.DARK, style.LIGHT)[thread]
                    )
                    lanes.append((lane, f"{seen.name.removeprefix('C')}, thread {'AB'[thread]}"))
            self._explain(axes)
            axes.set_yticks([lane for lane, _ in lanes], [text for _, text in lanes])
            axes.set_ylim(lanes[-1][0] + 0.7, -1.7)
            axes.set_xlim(0, max(t[-1][1] for s in self._seen for t in s.found["turns"]))
            axes.set_xlabel("milliseconds since both began to count")
            said = "; ".join(
                f"{s.name}: both at once {s.overlap():.0%} of the time" for s in self._seen
            )
            said += "".join(
                f"; {name}: left out, no second CPU was free" for name in self._left_out
            )
            style.head(figure, "Two threads that count: who goes on when", said)
            return Drawing(figure, f"Two threads that count: who goes on when. {said}.")

    def _explain(self, axes: Any) -> None:
        first = self._seen[0].found["turns"]
        begin, end = max((span for turn in first for span in turn), key=lambda s: s[1] - s[0])
        lane = 0 if [begin, end] in first[0] else 1
        callout(axes, f"one turn: {end - begin:.1f} ms", ((begin + end) / 2, lane - 0.3),
                (end + 1, -1.2))  # fmt: skip


class Convoy:
    """What an echo of a millisecond takes beside a thread that counts, by switch interval."""

    def __init__(self, *seen: Seen | None) -> None:
        self._seen = [one for one in seen if one is not None]

    def plot(self) -> Drawing:
        """One line for each interpreter, and the echo alone."""
        with style.styled():
            figure = style.new_figure(8.0, 4.2)
            axes = figure.subplots()
            colours = (style.LIGHT, style.OTHERS[0], style.DARK)
            for seen, colour, mark in zip(self._seen, colours, "os^", strict=False):
                x = [row["interval_ms"] for row in seen.convoy]
                y = [row["beside_us"] / 1e3 for row in seen.convoy]
                axes.plot(x, y, marker=mark, color=colour, label=seen.name, linewidth=2)
            rows = self._seen[0].convoy
            alone_ms = rows[0]["alone_us"] / 1e3
            axes.axhline(alone_ms, color="#666666", linewidth=1)
            axes.set_xscale("log")
            axes.set_yscale("log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter(NullFormatter())
            said = f"the echo alone: {alone_ms:.1f} ms"
            beside = rows[1]["interval_ms"] * 0.3, alone_ms * 0.62
            callout(axes, said, (rows[0]["interval_ms"] * 0.5, alone_ms), beside)
            axes.set_ylim(alone_ms * 0.45, None)
            axes.set_xlabel("switch interval, ms (log scale)")
            axes.set_ylabel("echo beside a counting thread, ms (log scale)")
            figure.legend(loc="outside lower center", ncols=3)
            said = "; ".join(
                f"{seen.name}: {seen.convoy[1]['beside_us'] / 1e3:.1f} ms at the usual 5 ms"
                for seen in self._seen
            )
            style.head(figure, "The convoy: who waits briefly waits for who computes", said)
            return Drawing(figure, f"The convoy: an echo beside a counting thread. {said}.")
