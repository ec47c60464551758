"""Prefork: several processes accept on one port, each with a pool of its own.

    master (one thread)           processes, forked at the start
    -------------------           ------------------------------
    listen()
    fork() ---------------------> accept()  put > |queue| > 16 workers: read, ..., close
    fork() ---------------------> accept()  put > |queue| > 16 workers: read, ..., close
      wait:
      who asks the control port   (each is asked for its part, and gets the sums)
      a process has ended         (its counts are found in its ledger; another is forked)
      a signal                    (each finishes what it has accepted)

Python lets one thread of a process compute at a time. Several processes have a lock each, so they
compute on as many CPUs as there are. The kernel deals the connections out: who sleeps in `accept()`
gets the next one, and a process that is busy computing does not. A process that dies takes down
what it had in hand and nothing else. The price: memory that each has of its own, and whatever all
of them must know (here: how often each client came) has to be shared at a cost.
Compare `thread_pool.py`, which is what each process is.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from types import FrameType
from typing import ClassVar, NoReturn

from servers.answers import listen
from servers.backend import Backend
from servers.child import Child, ChildLost, ChildServer
from servers.group import Group
from servers.housekeeper import LINGER_S, Housekeeper
from servers.memory import lock_memory
from servers.options import ServerOptions
from servers.server import CUT_OFF_S, DRAIN_GRACE_S, last_account
from servers.shared_rate_limit import SharedTokenBuckets
from servers.signals import STOP_SIGNALS, hear_stops, stop_at_once
from servers.thread_pool import ThreadPoolBackend

log = logging.getLogger("servers")

_FORK_EVERY_S = 1.0  # one that ends as soon as it is there is not replaced more often than that


class Prefork(ThreadPoolBackend):
    """What each process is: a pool."""

    name: ClassVar[str] = "prefork"
    forked: ClassVar[bool] = True


class Master(Group):
    """Keeps as many processes as were asked for, and speaks for all of them. One thread, which
    sleeps unless there is something to do; so it may fork whenever it likes."""

    def __init__(self, options: ServerOptions, backend_class: type[Backend]) -> None:
        super().__init__(options)
        self._backend_class = backend_class
        self._cpus = len(os.sched_getaffinity(0))
        self._processes = options.processes or self._cpus
        self._listeners = listeners(options, self._processes)
        self.listener = self._listeners[0]
        control = self.open_control()
        self.control = control.listener
        self._housekeeper = Housekeeper(
            control, self._parent_gone if options.exit_with_parent else None
        )
        self._limiter = SharedTokenBuckets(options.rate_limit_per_s)
        self._told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    # ---- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Fork all of them; they accept. Raises RuntimeError with the reason why one cannot."""
        self.warn_of_strangers(self.listener, self.control)
        if self._processes > self._cpus:
            log.warning(
                "%d processes on %d CPU%s: they take turns, so more of them compute no faster",
                self._processes, self._cpus, "" if self._cpus == 1 else "s",
            )  # fmt: skip
        # Its coming ends a wait, and then the handler runs.
        self._heard = hear_stops(self._stop)
        self._housekeeper.watch(self._heard.read_end, self._heard.stops)
        self._housekeeper.watch(self._told, self._drain)
        for place in range(self._processes):
            self._fork(place)

    def run(self) -> int:
        """Until a signal, and all have drained; the exit status of the process."""
        self._housekeeper.run()
        return last_account(self._gone[0].counters)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler. The first signal drains, the second ends at once."""
        if self._stopping:
            stop_at_once()  # and so do they all, whose master is gone
        self._stopping = True
        os.eventfd_write(self._told, 1)

    def _drain(self) -> None:
        os.eventfd_read(self._told)
        for listener in self._listeners:
            os.set_blocking(listener.fileno(), False)  # nobody waits in accept() any more
            listener.close()
        for child in self._children.values():
            signal.pidfd_send_signal(child.pidfd, signal.SIGTERM)
        at_most_s = self.options.request_deadline_s + DRAIN_GRACE_S + CUT_OFF_S + 2 * LINGER_S
        self._housekeeper.later(at_most_s, self._end_all)
        if not self._children:
            self._housekeeper.end()

    def _end_all(self) -> None:
        """A drain that has taken longer than any may: they are stopped, or stuck."""
        for child in self._children.values():
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _parent_gone(self) -> None:
        log.error("the parent process is gone; stopping")
        os._exit(1)

    # ---- processes --------------------------------------------------------------------------

    def _fork(self, place: int) -> None:
        """One more process. Raises RuntimeError with the reason why it cannot start."""
        listener = self._listeners[place % len(self._listeners)]
        child = Child(place, listener, self.options.workers)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until each has handlers of its own
        try:
            pid = os.fork()
            if pid == 0:
                self._be(child)
        except OSError as error:
            child.close()
            raise RuntimeError(f"there can be no more processes: {error.strerror}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        child.forked(pid)
        try:
            child.must_start()
        except (RuntimeError, ChildLost, TimeoutError) as error:
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)
            child.close()
            raise RuntimeError(str(error)) from error
        self._children[place] = child
        self._housekeeper.watch(child.pidfd, lambda: self._ended(child))

    def _be(self, child: Child) -> NoReturn:
        """In the new process: let go of what is its master's, and serve."""
        status = 2
        try:
            self._housekeeper.close_copies()
            os.close(self._told)
            self._heard.close()
            child.master_end.close()
            for other in self._children.values():
                other.close()
            if self.options.lock_stacks:
                lock_memory()  # which a fork does not inherit
            self._limiter.forked()
            server = ChildServer(self.options, self._backend_class, child, self._limiter)
            server.start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            status = server.run()
        except RuntimeError:
            pass  # there is no room for its threads; the master has been told
        except BaseException:
            log.exception("a process ends by a mistake of the server")
        finally:
            os._exit(status)

    def _ended(self, child: Child) -> None:
        if self._children.get(child.place) is child:  # else it was found out earlier, when asked
            self._bury(child)

    def _bury(self, child: Child) -> None:
        self._housekeeper.unwatch(child.pidfd)
        super()._bury(child)
        if self._stopping:
            if not self._children:
                self._housekeeper.end()
            return
        log.error(
            "process %d has ended (%s) with %d requests in hand; another takes its place",
            child.pid, child.how_it_ended(), child.in_hand,
        )  # fmt: skip
        lived_s = (time.monotonic_ns() - child.born_ns) / 1e9
        self._housekeeper.later(_FORK_EVERY_S - lived_s, lambda: self._replace(child.place))

    def _replace(self, place: int) -> None:
        if self._stopping:
            return
        try:
            self._fork(place)
        except RuntimeError as error:
            log.error("no process takes its place: %s; trying again", error)
            self._housekeeper.later(_FORK_EVERY_S, lambda: self._replace(place))
        else:
            self._replaced += 1


def listeners(options: ServerOptions, processes: int) -> list[socket.socket]:
    """The socket that all accept on; or, for `reuseport`, one for each. They are the master's: one
    whose process has ended keeps its backlog for the next. Raises `CannotListen`."""
    if options.listener == "inherited":
        return [listen(options.host, options.port, options.backlog)]
    first = listen(options.host, options.port, options.backlog, reuse_port=True)
    port = first.getsockname()[1]
    others = range(processes - 1)
    return [first] + [listen(options.host, port, options.backlog, True) for _ in others]
