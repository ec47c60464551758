"""Token buckets, by a clock of our own, and whose they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.message import MAX_CLIENT_ID_BYTES, client_key
from servers.rate_limit import MAX_CLIENTS, TokenBuckets
from tests.support.serving import RunningServer, StartServer, exchange


class Clock:
    """Nanoseconds that pass when told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def __call__(self) -> int:
        return self.now_ns


def test_a_burst_of_a_second_is_let_through_and_then_the_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(10, clock_ns=clock)
    assert [buckets.wait_s("a") for _ in range(10)] == [0.0] * 10
    assert buckets.wait_s("a") == pytest.approx(0.1)
    clock.now_ns += 100_000_000
    assert buckets.wait_s("a") == 0.0
    assert buckets.wait_s("a") > 0


def test_clients_do_not_pay_for_each_other() -> None:
    buckets = TokenBuckets(1, clock_ns=Clock())
    assert buckets.wait_s("a") == 0.0
    assert buckets.wait_s("a") > 0
    assert buckets.wait_s("b") == 0.0


def test_a_rate_of_zero_is_no_limit_and_remembers_nobody() -> None:
    buckets = TokenBuckets(0, clock_ns=Clock())
    assert {buckets.wait_s("a") for _ in range(1000)} == {0.0}
    assert len(buckets) == 0


def test_the_table_is_bounded_and_forgets_who_was_not_seen_for_longest() -> None:
    buckets = TokenBuckets(1, max_clients=3, clock_ns=Clock())
    for client in ("a", "b", "c"):
        buckets.wait_s(client)
    buckets.wait_s("a")
    buckets.wait_s("d")  # pushes out b
    assert len(buckets) == 3
    assert buckets.wait_s("a") > 0
    assert buckets.wait_s("b") == 0.0
    assert MAX_CLIENTS >= 100


@given(
    rate=st.integers(1, 1000),
    gaps_ns=st.lists(st.integers(0, 200_000_000), min_size=1, max_size=300),
)
def test_never_more_than_a_burst_and_the_rate_since(rate: int, gaps_ns: list[int]) -> None:
    clock = Clock()
    buckets = TokenBuckets(rate, clock_ns=clock)
    admitted, began_ns = 0, clock.now_ns
    for gap_ns in gaps_ns:
        clock.now_ns += gap_ns
        admitted += buckets.wait_s("a") == 0.0
        elapsed_s = (clock.now_ns - began_ns) / 1e9
        assert admitted <= rate + rate * elapsed_s + 1e-6


def exhaust(server: RunningServer, client: bytes) -> None:
    """Send as `client` until it is over its rate of one a second."""
    while exchange(server.port, request(client)).status != 429:
        pass  # a machine that stands still gives it a token back


def request(client: bytes) -> bytes:
    header = b"X-Client-Id: " + client + b"\r\n" if client else b""
    body = b'{"name":"a","value":1}'
    return b"POST /metrics HTTP/1.1\r\nHost: a\r\n%bContent-Length: 22\r\n\r\n%b" % (header, body)


LONG = b"x" * MAX_CLIENT_ID_BYTES


@pytest.mark.parametrize(
    ("greedy", "modest"),
    [
        pytest.param(b"127.0.0.1", b"", id="a name like an address"),
        pytest.param(b"", b"127.0.0.1", id="an address like a name"),
        pytest.param(LONG + b"1", LONG + b"2", id="long names that begin alike"),
        pytest.param(LONG, LONG + b"2", id="a long name that begins with another"),
        pytest.param(LONG + b"1", client_key(LONG + b"1").encode(), id="a name like a hash"),
        pytest.param(b"\xc3\xa9", "\u00e9".encode("latin-1"), id="names that are not ASCII"),
    ],
)
def test_no_two_clients_share_a_bucket(
    greedy: bytes, modest: bytes, backend: str, start_server: StartServer
) -> None:
    """Point 24 of "no figure that flatters": names collided with addresses and with each other."""
    server = start_server(backend, "--rate-limit=1")
    exhaust(server, greedy)
    assert exchange(server.port, request(modest)).status == 202
    assert server.reconciled().clients_tracked == 2


def test_an_empty_name_names_nobody(backend: str, start_server: StartServer) -> None:
    server = start_server(backend, "--rate-limit=1")
    exhaust(server, b"")
    assert exchange(server.port, request(b" ")).status in (429, 202)
    assert server.reconciled().clients_tracked == 1
