"""`labrun backends`: its options, and what it is called with."""

from __future__ import annotations

import shlex
from pathlib import Path

from harness.cli.app import command


@command()
def backends() -> None:
    """List the backends, and the servers of labrun.toml, that can be named.

    example: labrun backends
    """
    from harness.peers import PEERS, is_installed
    from harness.session.servers import SERVERS_FILE, servers_of
    from servers.registry import available

    for name, target in sorted(available().items()):
        print(f"{name:<26} {target}")
    print("module:Class               a backend of your own, from the current folder or installed")
    for peer in PEERS:
        missing = "" if is_installed(peer) else ", not installed: pip install .[peers]"
        print(f"{peer:<22} another server with the same job, as --server {peer}{missing}")
    for server in servers_of(Path(SERVERS_FILE)):
        print(f"{server.name:<26} {server.url or shlex.join(server.command)} ({SERVERS_FILE})")
