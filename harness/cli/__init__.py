"""The command `labrun`. Heavy imports wait until a command needs them: --help must be quick."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from typer.exceptions import TyperException

# --help lists the commands in the order in which these are imported.
from harness.cli import measuring as measuring

# isort: split
from harness.cli import reading as reading

# isort: split
from harness.cli import hosting as hosting

# isort: split
from harness.cli.app import app
from harness.errors import LabError


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 a check failed, 2 bad usage or no run, 130 interrupted."""
    if sys.platform != "linux":
        print("labrun: Linux or WSL2 is needed, for epoll and /proc", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _terminate)  # to be told to end is to be interrupted
    try:
        status = app(argv, standalone_mode=False)
    except TyperException as error:
        sentence = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"labrun: {sentence.rstrip('.')} (see labrun --help)", file=sys.stderr)
        return 2
    except LabError as error:
        print(f"labrun: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("labrun: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 0
    return status if isinstance(status, int) else 0
