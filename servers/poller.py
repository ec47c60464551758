"""The poller: where connections that stay wait for their next request, before a backend's queue.

    the acceptor's thread                                        workers
    ---------------------                                        -------
    epoll_wait()
      the listener is ready ----> accept, watch it
      a request has come in ----> dispatch -------- queue -----> serve that one request
      idle for too long --------> close                            |
    epoll_wait()                  <--------- watch it again -------+

A worker has a connection for one request, and none while nobody asks anything of it: a thousand
idle connections cost their descriptors and no worker. So do gunicorn's gthread, cheroot and
waitress. epoll reports each once (EPOLLONESHOT) and then looks away until a worker asks it again,
which any thread may.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from servers.acceptor import ACCEPT_BACKOFF_S, Accepted, Acceptor, Dispatch
from servers.connection import Connection
from servers.keeping import Keeping

_ACCEPTS_IN_A_TURN = 64  # of those that wait; then the others have their turn
_SWEEP_S = 0.25  # how late an idle connection may be closed
_NEXT = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
_AT_ONCE = _NEXT | select.EPOLLOUT  # of one that can be written to, as nearly all can
_GOING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Poller:
    """Accepts, and watches connections without a request. `idle`: those, by descriptor; `dispatch`
    gets one to a worker with its request; `overdue` is told of each that was idle for too long."""

    def __init__(
        self,
        keeping: Keeping,
        idle: dict[int, Connection],
        dispatch: Dispatch,
        overdue: Callable[[Connection], None],
    ) -> None:
        self._keeping = keeping
        self._idle = idle
        self._dispatch = dispatch
        self._overdue = overdue
        self._epoll = select.epoll()

    # ---- the acceptor's thread --------------------------------------------------------------

    def serve(self, acceptor: Acceptor) -> None:
        """Until the acceptor stops; then whoever has sent a request already is dispatched, and the
        others are let go."""
        acceptor.listener.setblocking(False)
        self._epoll.register(acceptor.listener, select.EPOLLIN)
        self._epoll.register(acceptor.stopped, select.EPOLLIN)
        sweep_s = time.monotonic() + _SWEEP_S
        while not acceptor.stopping:
            for descriptor, event in self._epoll.poll(_SWEEP_S):
                if descriptor == acceptor.listener.fileno():
                    self._accept(acceptor)
                elif (connection := self._idle.pop(descriptor, None)) is not None:
                    self._go_on(acceptor, connection, bool(event & _GOING))
            if time.monotonic() >= sweep_s:
                self._close_overdue()
                sweep_s = time.monotonic() + _SWEEP_S
        acceptor.empty_backlog(self._watch_new)
        for descriptor in list(self._idle):
            if (connection := self._idle.pop(descriptor, None)) is not None:
                self._go_on(acceptor, connection, True)

    def _accept(self, acceptor: Acceptor) -> None:
        for _ in range(_ACCEPTS_IN_A_TURN):
            outcome = acceptor.accept(self._watch_new)
            if outcome is Accepted.NO_ROOM:
                time.sleep(ACCEPT_BACKOFF_S)
            if outcome is not Accepted.ONE:
                return

    def _watch_new(self, connection: Connection) -> None:
        descriptor = connection.sock.fileno()
        self._idle[descriptor] = connection
        self._epoll.register(descriptor, _NEXT)

    def _go_on(self, acceptor: Acceptor, connection: Connection, going: bool) -> None:
        """Dispatch the request that has come in; without one (`going`: look) close it."""
        if going and not connection.has_bytes():
            connection.sock.close()
        else:
            acceptor.request(connection, self._dispatch)

    def _close_overdue(self) -> None:
        """The oldest stand first, or nearly so: who was watched again at the same moment."""
        limit_ns = time.monotonic_ns() - self._keeping.idle_ns
        for descriptor, connection in self._idle.copy().items():
            if connection.idle_ns > limit_ns:
                return
            if self._idle.pop(descriptor, None) is not None:
                connection.overdue = True
                self._overdue(connection)

    # ---- any thread -------------------------------------------------------------------------

    def watch(self, connection: Connection) -> bool:
        """Wait for the next request of a connection that has been answered, and is its caller's no
        longer. False where the server stops: it is still the caller's, to serve what has come in
        and to close."""
        connection.rest()
        descriptor = connection.sock.fileno()
        # What its client has sent behind its last request is no event of the socket's any more; it
        # has its turn behind the others that wait.
        awaited = _AT_ONCE if connection.received else _NEXT
        self._idle[descriptor] = connection
        if self._keeping.closing and self._idle.pop(descriptor, None) is not None:
            return False
        try:
            self._epoll.modify(descriptor, awaited)
        except OSError:
            pass  # the acceptor has let it go meanwhile, as the server stops
        return True
