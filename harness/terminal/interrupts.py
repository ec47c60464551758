"""Ctrl-C, and being told to end: an exception wherever the program is, and not lost there."""

from __future__ import annotations

import signal
import sys
from types import FrameType

_AGAIN_S = 0.01


def hear_interrupts() -> None:
    """SIGTERM raises KeyboardInterrupt as SIGINT does, and neither is lost where Python drops
    exceptions: in a finalizer, or in what runs when an object goes. It is raised again then, a
    moment later, by SIGALRM. On the main thread."""
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _dropped


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _dropped(what: sys.UnraisableHookArgs) -> None:
    if issubclass(what.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(what)
