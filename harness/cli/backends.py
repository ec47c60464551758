"""`labrun backends`: its options, and what it is called with."""

from __future__ import annotations

from harness.cli.app import command


@command()
def backends() -> None:
    """List the backends that can be named.

    example: labrun backends
    """
    from servers.registry import available

    for name, target in sorted(available().items()):
        print(f"{name:<22} {target}")
    print("module:Class           a backend of your own, from the current folder or installed")
