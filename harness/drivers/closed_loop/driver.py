"""The closed loop as a driver: what most tools do, and what it leaves out."""

from __future__ import annotations

from harness.core.record import Settings
from harness.drivers.driver import Driver
from harness.drivers.open_loop.driver import OpenLoop


class ClosedLoop(OpenLoop):
    """The schedule of the open loop, sent by clients that wait for their last answer first."""

    called = "the closed loop"
    in_turns = False
    falls_behind = True

    def sentence(self, settings: Settings) -> str | None:
        """The effect of waiting clients on its figures."""
        return (
            "Closed loop: a client whose last request is slow sends the next one late, so service "
            "times leave out that waiting; response times count from the intended time."
        )


DRIVER: Driver = ClosedLoop()
