"""`--allow-restart`: one fresh server process after another on one address.

A process that has served one trial is not the process that the next one should meet: its memory
has grown, its counters have run. So the supervisor owns the address, and each `POST /restart`
ends one server, drained, and starts another on the same ports.
"""

from __future__ import annotations

import json
import logging
import select
import subprocess
import sys
import threading

import msgspec

from servers.options import parse_options
from servers.restart import Restart
from servers.signals import Heard, hear_stops

log = logging.getLogger("servers")


class Supervisor:
    """Runs one server after another on one address."""

    def __init__(self, arguments: list[str], prog: str) -> None:
        backend = parse_options(arguments, prog).backend
        self._own = [a for a in arguments if a not in ("--allow-restart", backend)]
        self._order = self._last_good = Restart(backend)
        self._address: list[str] = []
        self._ready = False
        self._passing_on = threading.Lock()  # whoever writes one of the two below
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        """Until a signal, or a server that ends by itself; the last server's exit status."""
        # The main thread waits for a line, and would run a handler only after it.
        heard = hear_stops(lambda number, frame: None)
        threading.Thread(target=self._pass_on, args=(heard,), name="signals", daemon=True).start()
        while True:
            status, order = self._run_one()
            if self._stopping:
                return status
            if self._ready and order is not None:
                self._last_good, self._order = self._order, order
            elif not self._ready and self._order != self._last_good:
                log.error("%s did not start; going on with the one before", self._order.backend)
                self._order = self._last_good
            else:
                return status

    def _run_one(self) -> tuple[int, Restart | None]:
        command = [sys.executable, "-P", "-m", "servers", self._order.backend, *self._own]
        # What was asked for later stands later, and wins.
        command += [*self._order.arguments, *self._address, "--supervised", "--exit-with-parent"]
        self._ready = False
        # In a session of its own: Ctrl-C comes through this process, once.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as child:
            assert child.stdout is not None
            order = None
            with self._passing_on:
                self._child = child
                if self._stopping:
                    child.terminate()
            for line in child.stdout:
                said = json.loads(line)
                if "restart" in said:
                    order = msgspec.convert(said["restart"], type=Restart)
                    continue
                self._ready = True
                self._address = [f"--port={said['port']}", f"--control-port={said['control_port']}"]
                print(line.decode(), end="", flush=True)
            return child.wait(), order

    def _pass_on(self, heard: Heard) -> None:
        """The life of a thread: each signal that ends a server goes to the one that runs."""
        while True:
            select.select([heard.read_end], [], [])
            for number in heard.stops():
                with self._passing_on:
                    self._stopping = True
                    if self._child is not None:
                        self._child.send_signal(number)
