"""Locust's processes: in the generator's place, as a worker of another machine's, as a page."""

from __future__ import annotations

import sys

import msgspec

from harness.core.errors import LabError
from harness.drivers.locust.config import LocustConfig, WebConfig, WebReady, WorkerConfig
from harness.drivers.open_loop.process import GeneratorProcess
from harness.machine.child_process import START_S, ChildProcess, ProcessDied


class LocustProcess(GeneratorProcess):
    """Locust in the generator's place: the same request log, the same words."""

    def __init__(self, config: LocustConfig) -> None:
        command = [sys.executable, "-P", "-m", "harness.drivers.locust.run"]
        ChildProcess.__init__(self, "locust", command, pass_fds=(config.measured_fd,))
        self.tell(msgspec.json.encode(config))


class DistantWorker(ChildProcess):
    """A Locust worker for one trial of a lab on another machine."""

    def __init__(self, config: WorkerConfig) -> None:
        command = [sys.executable, "-P", "-m", "harness.drivers.locust.run", "--distant"]
        super().__init__("locust worker", command)
        self.tell(msgspec.json.encode(config))

    def until_its_end(self) -> tuple[int, str]:
        """Its exit status and what it said last."""
        status = self.process.wait()
        return status, self.last_words()


class LocustPage(ChildProcess):
    """Locust's web page. Raises `LabError` when there can be none."""

    def __init__(self, config: WebConfig) -> None:
        super().__init__("locust page", [sys.executable, "-P", "-m", "harness.drivers.locust.web"])
        try:
            self.tell(msgspec.json.encode(config))
            self.url = msgspec.json.decode(self.must_say(START_S), type=WebReady).url
        except ProcessDied as error:
            last = self.last_words()
            self.stop()
            raise LabError(last or str(error)) from error
