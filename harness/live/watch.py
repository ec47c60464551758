"""The page's process as the run sees it, and the watcher that tells it what has ended.

Nothing is said to it in the middle of a trial. A new state is told when the next trial is about to
begin, and that waits until every browser that follows has drawn it, a second at most.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import monotonic

import msgspec

from harness.core.errors import LabError
from harness.core.record import Settings, Trial
from harness.core.units import duration, rate
from harness.core.wording import counted, slot_names
from harness.designs.trials import Planned, PlannedRestart, name_of
from harness.live.so_far import SoFar
from harness.live.state import Ended, State
from harness.machine.child_process import START_S, ChildProcess, ProcessDied
from harness.machine.cpus import plan_of
from harness.measure.run import RunResult, Watcher
from harness.measure.trial import Progress
from harness.studies.compare.summary import run_sentences

ANSWER_S, LAST_S = 5.0, 30.0  # for the page's process to have drawn a state and shown it


class LivePage(ChildProcess):
    """The page of a run, as long as that lasts. `url`: where it is; `lost`: why it ended before the
    run, in words. Raises `LabError` where there can be none."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("live page", [sys.executable, "-P", "-m", "harness.live.server"])
        self.lost: str | None = None
        self.so_far = SoFar(settings)
        self._settings = settings
        self._ended: Ended | None = None
        try:
            cpus = plan_of(settings)
            if cpus.placed:
                os.sched_setaffinity(self.process.pid, cpus.observers)
            state = self.so_far.state("No trial has ended yet.", "The servers are made ready.")
            self.tell(msgspec.json.encode(state))
            self.url = self.must_say(START_S).decode()
        except (ProcessDied, ProcessLookupError) as error:
            last = self.last_words()
            self.stop()
            raise LabError(f"cannot show the live page: {last or error}") from error

    def close(self) -> None:
        """End it. Who follows is told if nothing was said of the run's end."""
        self.failed("labrun ended early")
        if self._ended is not None and not self._ended.last:
            told = "Its report was not drawn: labrun report does it."
            self._end(msgspec.structs.replace(self._ended, report=told, last=True))
        super().close()

    @contextmanager
    def watching(self, inner: AbstractContextManager[Watcher]) -> Iterator[Watcher]:
        """A watcher that tells the page, and `inner` everything."""
        with inner as watcher:
            yield PageWatcher(watcher, self, self._settings)

    def renew(self, state: State) -> None:
        """Show a state, and wait until it is seen, a while at most. A page that is gone is no
        reason to end a run."""
        if self.lost is not None:
            return
        try:
            self.tell(msgspec.json.encode(state))
            last = state.ended is not None and state.ended.last
            until = monotonic() + (LAST_S if last else ANSWER_S)
            while (line := self.wait_for_line(max(0.0, until - monotonic()))) is not None:
                if int(line) == state.number:
                    break
        except ProcessDied as error:
            self.lost = str(error)

    def over(self, result: RunResult, report: str, last: bool) -> None:
        """The run is over. `report`: a sentence on its report; `last`: nothing more follows."""
        run, reason = result.run, result.run.incomplete_reason
        said = run_sentences(run) if run.complete else [f"The run is PARTIAL: {reason}."]
        folder = str(result.folder.path.absolute())
        self._end(Ended(run.complete, said, folder, report, last))

    def failed(self, why: str) -> None:
        """No run came of it, or it was left; of one whose end was told that stays."""
        if self._ended is None:
            self._end(Ended(False, [f"There is no whole run: {why}."], "", "", True))

    def _end(self, ended: Ended) -> None:
        self._ended = ended
        self.renew(self.so_far.state("", "", ended))


class PageWatcher:
    """Tells a page what has ended and what is next, and another watcher everything."""

    def __init__(self, inner: Watcher, page: LivePage, settings: Settings) -> None:
        self._inner = inner
        self._page = page
        self._names = slot_names(settings)
        self._began: float | None = None

    def trial_begins(self, planned: Planned, number: int, total: int) -> None:
        done = number - 1
        progress = self._progress(done, total)
        now = next_words(planned, self._names, total - done)
        self._page.renew(self._page.so_far.state(progress, now))
        self._inner.trial_begins(planned, number, total)

    def progress(self, progress: Progress) -> None:
        self._inner.progress(progress)

    def trial_ended(self, trial: Trial) -> None:
        self._page.so_far.add(trial)
        self._inner.trial_ended(trial)

    def _progress(self, done: int, total: int) -> str:
        """How many trials have ended, and how long the others may take."""
        if self._began is None:
            self._began = monotonic()
        if not done:
            return f"No trial of {total} has ended yet."
        left_s = (monotonic() - self._began) / done * (total - done)
        return f"{done} of {counted(total, 'trial')} have ended; about {duration(left_s)} left."


def next_words(planned: Planned, names: Sequence[str], left: int) -> str:
    """What is measured next, and how many of the `left` trials follow it."""
    restart = isinstance(planned, PlannedRestart)
    what = f"{'Restart' if restart else 'Round'} {planned.round} at {rate(planned.rps)}"
    more = left - (len(planned.arms) if restart else 1)
    after = f"After it: about {counted(more, 'trial')} more." if more > 0 else "It is the last."
    return f"{what}: {name_of(planned, names)}. {after}"
