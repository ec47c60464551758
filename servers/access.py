"""Who may ask the control port: whoever has its token, and no page that a browser shows.

A page can send to every port of the machine that it is looked at on. What it cannot do is set a
header of its own without asking first (a CORS preflight, which is refused here), leave out what
its browser says of it, or give a name as an address: a name of its own that it has pointed at this
machine stays in `Host`.
"""

from __future__ import annotations

import hmac
import ipaddress

from servers.problem import Problem

TOKEN_VARIABLE = "LABRUN_TOKEN"
CONTROL_HEADER = "X-Lab-Control"
_HERE = ("127.0.0.1", "localhost", "::1")
_DEFAULT_PORT = b"80"  # what a Host without a port means
_OWN_PAGES = (b"none", b"same-origin")  # typed by a person, or followed from another of our answers


class Access:
    """The rules of one control port.

    `port` is where it listens, `told_host` the host that it was told to listen on, and `token` what
    must be shown (None: nothing).
    """

    def __init__(self, port: int, told_host: str, token: bytes | None) -> None:
        self.token = token
        self._port = str(port).encode()
        self._names = {_normal(name) for name in (*_HERE, told_host)}

    def check(
        self, method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], local: str
    ) -> None:
        """Raise `Problem` for what is not answered. Names of headers are in lower case; `local` is
        the address that the connection came to."""
        given = dict(headers)
        # Compared in constant time: how long it takes does not tell how much of it was right.
        if self.token is not None and not hmac.compare_digest(_shown(given), self.token):
            challenge = (("WWW-Authenticate", "Bearer"),)
            raise Problem(401, f"This needs the token of {TOKEN_VARIABLE}.", challenge)
        for name, value in headers:
            if name == b"host" and not self._is_own(value, _normal(local)):
                raise Problem(
                    421, "Host is not the address of this control port, whose port is "
                    f"{self._port.decode()}: ask 127.0.0.1, localhost, or what --control-host says."
                )  # fmt: skip
        if b"origin" in given or given.get(b"sec-fetch-site", b"none") not in _OWN_PAGES:
            raise Problem(403, "No page of a browser is answered here.")
        if (method != b"GET" or path == b"/sample") and b"x-lab-control" not in given:
            raise Problem(403, f"What changes something here needs the header {CONTROL_HEADER}: 1.")

    def _is_own(self, host: bytes, local: str) -> bool:
        """Whether the value of a Host header names this port."""
        name, port = host, _DEFAULT_PORT
        if not host.endswith(b"]"):  # which ends an IPv6 address without a port
            name, _, port = host.partition(b":") if host[:1] != b"[" else host.rpartition(b":")
        return (port or _DEFAULT_PORT) == self._port and (
            _normal(name.decode("latin-1")) in {*self._names, local}
        )


def _normal(host: str) -> str:
    """One spelling for each host: an address as `ipaddress` writes it, a name in lower case."""
    bare = host.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return host.lower()
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _shown(given: dict[bytes, bytes]) -> bytes:
    """The token that a client shows."""
    scheme, _, token = given.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
