"""The page of a run as a process of its own: `python -m harness.live.server`.

Standard input has a state (`harness.live.state.State`) a line. The first line on standard output is
the page's address, on loopback; each further one is the number of a state that every browser that
follows has drawn, or had a second for. It ends when standard input closes, so it never outlives the
run. It has the lowest priority, and between two states it does nothing but answer who loads the
page.
"""

from __future__ import annotations

import os
import select
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import Condition, Thread
from time import monotonic

import msgspec

from harness.live.page import CONTENT_POLICY, Shown, render
from harness.live.state import State

LOWEST_PRIORITY = 19
DRAW_S, DRAW_LAST_S = 1.0, 20.0  # for browsers to draw a state; after the last none measures
LOAD_S = 5.0  # from the page to its script's first word; there is none without JavaScript
WAIT_S = 240.0  # until a browser that follows is told that there is nothing new
MOST_WAITING = 20
_DIGITS = 9


class Board:
    """The newest state as it is shown, and who follows. Any thread may call it.

    A browser that follows waits for the next state, draws one that it was given, or has loaded the
    page and will ask in a moment. Nobody tells of a window that was closed meanwhile, so the last
    two are believed in for a while.
    """

    def __init__(self, first: Shown) -> None:
        self._changed = Condition()
        self._shown = first
        self._waiting: set[socket] = set()  # browsers that have drawn it and want the next
        self._drawing: list[float] = []  # until when those that were given one are expected back
        self._loading: list[float] = []  # until when those that loaded the page are
        self._owed = 0  # so many have yet to say that they have drawn the newest

    def load(self) -> Shown:
        """The newest, for somebody who loads the page."""
        with self._changed:
            self._loading.append(monotonic() + LOAD_S)
            return self._shown

    def renew(self, shown: Shown) -> None:
        """Show a state to all that follow; returns when they have drawn it, or after a while."""
        until_s = monotonic() + (DRAW_LAST_S if shown.last else DRAW_S)
        with self._changed:
            self._shown = shown
            self._owed = sum(map(_is_open, self._waiting)) + len(_expected(self._drawing))
            self._changed.notify_all()
            while (now_s := monotonic()) < until_s:
                loading = _expected(self._loading)
                if self._owed <= 0 and not loading:
                    return
                self._changed.wait(min(until_s, *loading) - now_s if loading else until_s - now_s)

    def wait_for_followers(self, number: int, timeout_s: float) -> bool:
        """Wait until so many follow; whether they do."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._waiting) >= number, timeout_s)

    def after(self, number: int, browser: socket, first: bool = False) -> Shown | None:
        """A browser has drawn that state, of the page that it has just loaded if it is its `first`
        word: the next one, when it is there. None if there is none for a long time, or never will
        be. Raises `BlockingIOError` where too many wait."""
        with self._changed:
            expected = self._loading if first else self._drawing
            del expected[:1]
            if number == self._shown.number:
                self._owed -= not first
                self._changed.notify_all()
                if self._shown.last:
                    return None
                if len(self._waiting) >= MOST_WAITING:
                    raise BlockingIOError
                self._waiting.add(browser)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._shown.number != number, WAIT_S)
                self._waiting.remove(browser)
            elif first:
                self._owed += 1  # it was not yet among those who follow
            if self._shown.number == number:
                return None
            if _is_open(browser):
                self._drawing.append(monotonic() + DRAW_LAST_S)
            return self._shown


def _expected(until_s: list[float]) -> list[float]:
    """The same list without those who did not come in time."""
    now_s = monotonic()
    until_s[:] = [each for each in until_s if each > now_s]
    return until_s


def _is_open(browser: socket) -> bool:
    """Whether it still listens: it sends nothing more, so all that could be read is its end."""
    return not select.select([browser], [], [], 0)[0]


class PageServer(ThreadingHTTPServer):
    """Answers `GET /`, and of its script `GET /first?NUMBER`, then `GET /after?NUMBER`, to
    who asks for loopback by its name."""

    daemon_threads = True

    def __init__(self, board: Board) -> None:
        self.board = board
        super().__init__(("127.0.0.1", 0), Handler)
        own = [f"{host}:{self.server_port}" for host in ("127.0.0.1", "localhost")]
        self.hosts = frozenset(own)
        self.origins = frozenset({None, *(f"http://{host}" for host in own)})


class Handler(BaseHTTPRequestHandler):
    """One request. Of another page, that of a name that leads here, nothing is answered."""

    server: PageServer
    timeout = 10
    server_version, sys_version = "labrun", ""

    def parse_request(self) -> bool:
        """Refuse every method but GET."""
        if not super().parse_request():
            return False
        if self.command != "GET":
            self._answer(405, b"", "text/plain")
            return False
        return True

    def do_GET(self) -> None:
        """The page, or what is new."""
        path, _, query = self.path.partition("?")
        known = self.headers.get("Host") in self.server.hosts
        if not known or self.headers.get("Origin") not in self.server.origins:
            self._answer(404, b"", "text/plain")
        elif self.path == "/":
            self._answer(200, self.server.board.load().page, "text/html; charset=utf-8")
        elif path in ("/first", "/after") and _is_number(query):
            self._next(int(query), path == "/first")
        else:
            self._answer(404, b"", "text/plain")

    def _next(self, number: int, first: bool) -> None:
        try:
            shown = self.server.board.after(number, self.connection, first)
        except BlockingIOError:
            self._answer(503, b"", "text/plain")
            return
        if shown is None:
            self._answer(204, b"", "text/plain")
        else:
            self._answer(200, shown.news, "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.close_connection = True
        try:
            self.send_response(status)
            if status == 405:
                self.send_header("Allow", "GET")
            if status != 204:
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", CONTENT_POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # whoever asked is gone
            pass

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


def _is_number(query: str) -> bool:
    return query.isascii() and query.isdigit() and len(query) <= _DIGITS


def main() -> None:
    """Serve until standard input closes."""
    decoder = msgspec.json.Decoder(State)
    first = sys.stdin.buffer.readline()
    if not first:
        return
    board = Board(render(decoder.decode(first)))
    server = PageServer(board)
    try:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        _step_back()
        Thread(target=server.serve_forever, daemon=True).start()
        for line in sys.stdin.buffer:
            shown = render(decoder.decode(line))
            board.renew(shown)
            print(shown.number, flush=True)
    except BrokenPipeError:  # the run was killed
        os._exit(0)


def _step_back() -> None:
    """Lowest priority for this thread and those it starts; and for the session, which it leads,
    where the kernel shares CPUs among sessions first."""
    os.nice(LOWEST_PRIORITY)
    try:
        Path("/proc/self/autogroup").write_text(str(LOWEST_PRIORITY), "ascii")
    except OSError:  # it does not, or not here
        pass


if __name__ == "__main__":
    main()
