"""A server that is to keep a trace says which thread took which step of which request, up to so
many; one that is not knows nothing of it."""

from __future__ import annotations

import msgspec
import pytest

from servers.report import STAGES
from servers.tracing import Trace
from tests.support.serving import IN_PYTHON, StartServer, exchange, metric_request


def trace_of(body: bytes) -> Trace:
    return msgspec.json.decode(body, type=Trace)


@pytest.mark.parametrize("traced", [name for name in IN_PYTHON if name != "prefork"])
def test_every_request_has_its_thread_and_its_steps_in_order(
    start_server: StartServer, traced: str
) -> None:
    server = start_server(traced, "--trace=100")
    statuses = [exchange(server.port, metric_request()).status for _ in range(3)]
    statuses.append(exchange(server.port, metric_request(body=b"no")).status)
    server.until(lambda report: report.counters.answered == 4)
    server.until(lambda report: report.counters.in_progress == 0)
    trace = trace_of(server.ask("/trace"))
    assert trace.stages == list(STAGES)
    # Each thread hands over what it has seen when it ends, so a later one may stand before it.
    in_order = sorted(trace.requests, key=lambda request: request.accepted_ns)
    assert [r.status for r in in_order] == statuses == [202, 202, 202, 400]
    for request in trace.requests:
        assert request.accepted_ns <= request.started_ns <= request.ended_ns
        assert request.address == "127.0.0.1"
        assert len(request.stages_ns) == (len(STAGES) if request.status == 202 else 0)
        assert sum(request.stages_ns) <= request.ended_ns - request.accepted_ns + 1000
    threads = {request.thread for request in trace.requests}
    assert len(threads) == 4 if traced == "thread-per-request" else len(threads) >= 1


def test_what_is_beyond_its_length_is_counted_and_a_window_begins_afresh(
    start_server: StartServer,
) -> None:
    server = start_server("thread-pool", "--trace=2")
    for _ in range(5):
        assert exchange(server.port, metric_request()).status == 202
    server.until(lambda report: report.counters.in_progress == 0)
    trace = trace_of(server.ask("/trace"))
    assert (len(trace.requests), trace.dropped) == (2, 3)
    server.ask("/window", method="POST")
    trace = trace_of(server.ask("/trace"))
    assert (len(trace.requests), trace.dropped) == (0, 0)


def test_without_it_there_is_no_trace_and_the_path_is_the_plain_one(
    start_server: StartServer,
) -> None:
    server = start_server("thread-pool")
    with pytest.raises(AssertionError, match="POST /window"):  # 404, and what it offers instead
        server.ask("/trace")
    assert "trace" not in server.report().settings
