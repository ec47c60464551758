"""Other servers with the same job as ours, by the commands that start them.

`pip install 'metricstream-lab[peers]'`, then `labrun compare --server waitress --server gunicorn`.
Each has as many threads as `--workers` says (16) where it has a number of them, and the job of
`harness.peers.apps`.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

_WSGI, _ASGI = "harness.peers.apps:wsgi", "harness.peers.apps:asgi"
# Name -> the module that is run, and its arguments.
_PEERS = {
    "waitress": "waitress --listen=127.0.0.1:{port} --threads={workers} --backlog=4096 " + _WSGI,
    "cheroot": "cheroot --bind 127.0.0.1:{port} --threads {workers} " + _WSGI,
    "gunicorn": "gunicorn -b 127.0.0.1:{port} -k gthread --threads {workers} --backlog 4096 "
    + _WSGI,
    "uvicorn": "uvicorn --host 127.0.0.1 --port {port} --no-access-log --backlog 4096 " + _ASGI,
    "granian": "granian --port {port} --interface wsgi --blocking-threads {workers} " + _WSGI,
    "http.server": "harness.peers.thread_per_request {port}",
}
PEERS = tuple(_PEERS)


def command_of(name: str) -> list[str]:
    """The command of a peer, `{port}` and `{workers}` standing for its port and number of threads.
    Raises KeyError."""
    return [sys.executable, "-P", "-m", *_PEERS[name].split()]


def is_installed(name: str) -> bool:
    """Whether its package is there. Raises KeyError."""
    return find_spec(_PEERS[name].split()[0].partition(".")[0]) is not None
