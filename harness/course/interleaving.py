"""Threads that go on one line at a time, in an order that somebody chooses: what a scheduler does,
made visible. `Interleaving(deposit, "ABAB")` runs `deposit` in the threads A and B.

A thread that cannot go on, since another holds a `Lock` of this module, uses up its letter. When
the order is over, all go on until they end or none can.
"""

from __future__ import annotations

import linecache
import sys
import textwrap
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from harness.core.errors import LabError
from harness.course.pictures import Drawing, callout
from harness.views import style

_Does = Callable[[], Any]
_MOST_THREADS, _MOST_STEPS = 6, 400
_STEP_S = 10.0  # for one line; a line that takes longer waits for something that is not ours


class Abandoned(BaseException):
    """A thread that can never go on is ended by this."""


@dataclass(frozen=True, slots=True)
class Step:
    """One letter of the order: the thread, its line, and whose lock it waits for instead (None: it
    went on)."""

    thread: str
    line: str
    waits_for: str | None = None


class Lock:
    """A lock whose waiting can be seen: outside of an `Interleaving` a lock like any other."""

    def __init__(self, name: str = "lock") -> None:
        self.name = name
        self.holder: str | None = None
        self._inner = threading.Lock()

    def __enter__(self) -> Lock:
        walker = _WALKERS.get(threading.get_ident())
        if walker is None:
            self._inner.acquire()
            return self
        while not self._inner.acquire(blocking=False):
            walker.blocked_by(self)
        self.holder = walker.name
        return self

    def __exit__(self, *_: object) -> None:
        self.holder = None
        self._inner.release()


class _Walker:
    """One thread, which waits before each line until it is told to go on."""

    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        self.name, self.line, self.waits_for = name, "", ""
        self.ended, self.blocked, self.error = False, False, ""
        self._abandoned = False
        self._within: list[str] = []
        self._go, self._there = threading.Semaphore(0), threading.Semaphore(0)
        self._code: CodeType = function.__code__
        threading.Thread(target=self._run, args=(function,), daemon=True).start()
        self._arrive()

    def step(self) -> None:
        """Let it run one line."""
        self.blocked = False
        self._go.release()
        self._arrive()

    def abandon(self) -> None:
        """End it where it is."""
        self._abandoned = True
        self._go.release()

    def blocked_by(self, lock: Lock) -> None:
        """On the thread itself: it cannot go on in this step."""
        self.blocked, self.waits_for = True, lock.holder or "nobody"
        self._stop()

    def _arrive(self) -> None:
        if not self._there.acquire(timeout=_STEP_S):
            raise LabError(
                f"thread {self.name} does not come back from {self.line!r}: take the Lock of "
                "harness.course.interleaving, whose waiting can be seen"
            )

    def _stop(self) -> None:
        self._there.release()
        self._go.acquire()
        if self._abandoned:
            raise Abandoned

    def _run(self, function: Callable[[], Any]) -> None:
        _WALKERS[threading.get_ident()] = self
        sys.settrace(self._trace)
        try:
            function()
        except Abandoned:
            pass
        except Exception as error:  # of the learner's own code; it is told
            self.error = f"{type(error).__name__}: {error}"
        finally:
            sys.settrace(None)
            del _WALKERS[threading.get_ident()]
            self.ended = True
            self._there.release()

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code is not self._code:
            return None
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not self._abandoned:  # else it is on its way out
            self.line = self._named(text)
            self._stop()
        return self._trace

    def _named(self, text: str) -> str:
        """A `with` is visited a second time, as its block is left."""
        if text in self._within:
            self._within.remove(text)
            return f"end of {text.removesuffix(':')}"
        if text.startswith("with "):
            self._within.append(text)
        return text


_WALKERS: dict[int, _Walker] = {}


class Interleaving:
    """`does`: one function for all threads, or one for each, by its letter. `steps`: what became
    of it; `deadlock`: whether threads were left that wait for each other; `errors`: what threads
    raised."""

    def __init__(self, does: _Does | Mapping[str, _Does], order: str) -> None:
        names = sorted(set(order))
        if not names or not all("A" <= name <= "Z" for name in names):
            raise LabError(f"an order is letters, one for each step, like 'ABAB': {order!r}")
        if len(names) > _MOST_THREADS or len(order) > _MOST_STEPS:
            raise LabError(f"at most {_MOST_THREADS} threads and {_MOST_STEPS} steps")
        self.order, self.steps = order, list[Step]()
        each = does if isinstance(does, Mapping) else dict.fromkeys(names, does)
        if set(names) - set(each):
            raise LabError(f"there is nothing for thread {min(set(names) - set(each))} to do")
        self._walkers = {name: _Walker(name, each[name]) for name in names}
        for name in order:
            self._step(self._walkers[name])
        self._to_the_end()
        waiting = [walker for walker in self._walkers.values() if not walker.ended]
        self.deadlock = bool(waiting)
        for walker in waiting:
            walker.abandon()
        self.errors = [walker.error for walker in self._walkers.values() if walker.error]

    def _step(self, walker: _Walker) -> bool:
        """Whether it went on."""
        if walker.ended:
            return False
        line = walker.line
        walker.step()
        self.steps.append(Step(walker.name, line, walker.waits_for if walker.blocked else None))
        return not walker.blocked

    def _to_the_end(self) -> None:
        while len(self.steps) < _MOST_STEPS:
            went_on = False
            for walker in self._walkers.values():
                while not walker.ended and len(self.steps) < _MOST_STEPS and self._step(walker):
                    went_on = True
            if not went_on:
                return

    def plot(self, says: str = "") -> Drawing:
        """One lane for each thread, time downwards; `says`: a callout at the last step."""
        with style.styled():
            names = list(self._walkers)
            figure = style.new_figure(8.0, 1.4 + 0.34 * (len(self.steps) + bool(says)))
            axes = figure.subplots()
            for row, step in enumerate(self.steps):
                self._box(axes, names.index(step.thread), row, step)
            axes.set_xlim(-0.5, len(names) - 0.5)
            axes.set_ylim(len(self.steps) + (0.7 if says else -0.4), -0.6)
            axes.set_xticks(range(len(names)), [f"thread {name}" for name in names])
            axes.xaxis.tick_top()
            axes.set_yticks([])
            axes.grid(axis="y", visible=False)
            axes.set_ylabel("time, downwards")
            if says:
                lane, last = names.index(self.steps[-1].thread), len(self.steps) - 1
                callout(axes, says, (lane, last + 0.35), (lane - 0.25, last + 1.2))
            style.head(figure, self._title(), "Each box is one line of code, as it was run")
            return Drawing(figure, f"{self._title()}. {self.read_out()}")

    def _box(self, axes: Any, lane: int, row: int, step: Step) -> None:
        waits = step.waits_for is not None
        text = textwrap.shorten(step.line, 40, placeholder=" ...")
        axes.text(
            lane, row, f"{text}   waits for {step.waits_for}" if waits else text,
            ha="center", va="center", fontsize=8.6, family="DejaVu Sans Mono", color=style.INK,
            bbox={"boxstyle": "round,pad=0.3", "edgecolor": style.DARK if waits else "#999999",
                  "facecolor": "#F6D9A8" if waits else "white",
                  "linestyle": "--" if waits else "-"},
        )  # fmt: skip

    def _title(self) -> str:
        end = "; it ends in a deadlock" if self.deadlock else ""
        return f"The order {self.order}{end}"

    def read_out(self) -> str:
        """All steps as a text."""
        return "; ".join(
            f"{step.thread}: {step.line}"
            + ("" if step.waits_for is None else f" (waits for {step.waits_for})")
            for step in self.steps
        )
