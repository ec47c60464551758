"""The command `labrun`. Heavy imports wait until a command needs them: --help must be quick."""

from __future__ import annotations

import sys
from functools import cache, partial

from typer.exceptions import TyperException
from typer.main import get_command

# --help lists the commands in the order in which these are imported.
# isort: off
from harness.cli import (
    compare as compare,
    capacity as capacity,
    anatomy as anatomy,
    crossover as crossover,
    report as report,
    replay as replay,
    claims as claims,
    regress as regress,
    history as history,
    export as export,
    doctor as doctor,
    serve as serve,
    locust as locust,
    notebook as notebook,
    grade as grade,
    backends as backends,
    init as init,
)

# isort: on
from harness.cli.app import app
from harness.core.errors import LabError
from harness.terminal.interrupts import hear_interrupts
from harness.terminal.output import complain, prepare_streams

# Typer would read all signatures again for each call.
_labrun = cache(partial(get_command, app))


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 a check failed, 2 bad usage or no run, 130 interrupted."""
    prepare_streams()
    if sys.platform != "linux":
        complain("Linux or WSL2 is needed, for epoll and /proc")
        return 2
    hear_interrupts()
    try:
        status = _labrun()(argv, standalone_mode=False)
    except TyperException as error:
        sentence = error.format_message() if hasattr(error, "format_message") else str(error)
        complain(f"{sentence.rstrip('.')} (see labrun --help)")
        return 2
    except LabError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 0
    return status if isinstance(status, int) else 0
