"""Request bodies: one small metric in every measurement; else metrics as services send, of a few
hundred names, with tags, some in batches, and bad ones if asked."""

from __future__ import annotations

import json
import random

from harness.core.record import RequestSettings

# 50 ms of work and a metric a request, 96 bytes of JSON, as the design document's clients send.
BODY = (
    '{"name":"cpu.load.average","value":0.42,"timestamp":1700000000,'
    '"tags":{"host":"web-1","dc":"a"}}'
)
# The document's request, which every measurement sends unless another is asked for.
THE_METRIC = RequestSettings(headers=[("Content-Type", "application/json")], body=BODY)
_SERVICES = ("checkout", "search", "billing", "login", "catalogue", "mail", "stock", "routing")
_THINGS = ("requests", "errors", "latency_ms", "queue.depth", "cpu.load", "memory.bytes", "retries")
_PARTS = ("total", "mean", "p50", "p99", "max", "rate")
_ZONES = ("a", "b", "c")
_BATCH_SHARE, _LARGEST_BATCH = 0.1, 20
# Each is turned down with a 400 or a 422.
_BAD = (
    b'{"name": "cpu.load", "value": ',
    b'{"name": "cpu.load", "value": "much"}',
    b'{"name": "9 lives", "value": 9}',
    b"[]",
)


def request_text(asked: RequestSettings, address: str, client: str, keeps: bool = False) -> str:
    """A request as it goes over the wire, in bytes as Latin-1. Unless its client `keeps` the
    connection it says so."""
    body = asked.body.encode().decode("latin-1")
    names = {name.lower() for name, _ in asked.headers}
    own = [("Host", address)]
    if "x-client-id" not in names:
        own.append(("X-Client-Id", client))
    own += asked.headers
    if body or asked.method in ("POST", "PUT", "PATCH"):
        own.append(("Content-Length", str(len(body))))
    if not keeps:
        own.append(("Connection", "close"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in own)
    return f"{asked.method} {asked.path} HTTP/1.1\r\n{lines}\r\n{body}"


def names() -> list[str]:
    """All metric names: 336."""
    return [f"{s}.{t}.{p}" for s in _SERVICES for t in _THINGS for p in _PARTS]


def make_bodies(count: int, seed: int, bad_share: float = 0.0) -> list[bytes]:
    """`count` request bodies, equal for equal arguments; `bad_share` of them are bad, on average.

    Raises ValueError when `bad_share` is no share.
    """
    if not 0.0 <= bad_share <= 1.0:
        raise ValueError(f"a share of bad requests is 0 to 1, not {bad_share:g}")
    chance = random.Random(seed)
    known = names()
    return [
        chance.choice(_BAD) if chance.random() < bad_share else _good(chance, known)
        for _ in range(count)
    ]


def _good(chance: random.Random, known: list[str]) -> bytes:
    if chance.random() >= _BATCH_SHARE:
        return json.dumps(_metric(chance, known)).encode()
    size = chance.randint(2, _LARGEST_BATCH)
    return json.dumps([_metric(chance, known) for _ in range(size)]).encode()


def _metric(chance: random.Random, known: list[str]) -> dict[str, object]:
    return {
        "name": chance.choice(known),
        "value": round(chance.lognormvariate(3.0, 1.5), 3),
        "timestamp": 1_700_000_000 + chance.randrange(86_400),
        "tags": {"host": f"web-{chance.randrange(40)}", "zone": chance.choice(_ZONES)},
    }
