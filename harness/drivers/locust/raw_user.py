"""One HTTP exchange on a socket of its own, as cheaply as gevent allows.

gevent's own sockets make two watchers and call connect() twice for each connection; with a
connection for each request that is a fourth of a client's CPU. Here a socket gets one watcher, when
it first has to wait: on loopback that is once, for the answer.
"""

from __future__ import annotations

import _socket
import errno
from time import monotonic_ns

from gevent import Timeout, get_hub, getcurrent

_READ, _WRITE = 1, 2
_READ_BYTES = 65_536
_IP_BIND_ADDRESS_NO_PORT = 24
_KIND = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
_NOT_YET = (errno.EAGAIN, errno.ENOTCONN, errno.EINPROGRESS)


class Exchanges:
    """The exchanges of one user (a greenlet), one after the other, each within `timeout_s`.

    `source`: the address to send from (None: the system's choice).
    """

    def __init__(self, address: tuple[str, int], source: str | None, timeout_s: float) -> None:
        self._address = address
        self._source = source
        self._hub = get_hub()
        self._loop = self._hub.loop
        self._timer = self._loop.timer(timeout_s, timeout_s)  # started anew for each exchange
        self._user = getcurrent()
        self.connected_ns: int | None = None

    def run(self, request: bytes) -> bytes:
        """Connect, send, read to the end. `connected_ns` is then when the connection was there, by
        the monotonic clock. Raises OSError, and gevent's Timeout."""
        self.connected_ns = None
        self._timer.again(self._give_up)
        sock = _socket.socket(_socket.AF_INET, _KIND)
        try:
            if self._source is not None:
                sock.setsockopt(_socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._source, 0))
            self._connect_and_send(sock, request)
            return self._read(sock)
        finally:
            sock.close()
            self._timer.stop()

    def _give_up(self) -> None:
        """In the hub: the exchange has had its time."""
        self._user.throw(Timeout(None))

    def _connect_and_send(self, sock: _socket.socket, request: bytes) -> None:
        failed = sock.connect_ex(self._address)
        if failed and failed != errno.EINPROGRESS:
            raise OSError(failed, "connect")
        sent = 0
        while sent < len(request):
            tried_ns = monotonic_ns()
            try:
                sent += sock.send(request[sent:] if sent else request)
            except OSError as error:
                if error.errno not in _NOT_YET:
                    raise
                self._wait(sock, _WRITE)
                continue
            if self.connected_ns is None:
                self.connected_ns = tried_ns  # what send() itself takes is no connecting

    def _read(self, sock: _socket.socket) -> bytes:
        data = b""
        self._wait(sock, _READ)  # an answer is never there at once
        while True:
            try:
                piece = sock.recv(_READ_BYTES)
            except BlockingIOError:
                self._wait(sock, _READ)
                continue
            if not piece:
                return data
            data += piece

    def _wait(self, sock: _socket.socket, event: int) -> None:
        watcher = self._loop.io(sock.fileno(), event)
        try:
            self._hub.wait(watcher)
        finally:
            watcher.close()
