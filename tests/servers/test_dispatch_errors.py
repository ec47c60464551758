"""A backend that goes wrong in `dispatch` costs one request, and never the acceptor (point 22 of
"no figure that flatters, no test that fails by chance")."""

from __future__ import annotations

import pytest

from tests.support.serving import StartServer, exchange, metric_request


@pytest.mark.parametrize("fault", ["raise", "exit"])
def test_whatever_dispatch_raises_is_500_counted_and_the_acceptor_goes_on(
    fault: str, faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, env={"DISPATCH": fault, "FAULTS": "3"})
    answers = [exchange(server.port, metric_request()) for _ in range(5)]
    assert [answer.status for answer in answers] == [500] * 3 + [202] * 2
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert b"red" not in answers[0].body  # what went wrong is for the log alone
    counters = server.reconciled()
    assert counters.dispatch_errors == 3
    assert counters.answered_by_status == {"500": 3, "202": 2}
    assert server.log().count("Traceback (most recent call last)") == 3
    assert server.stop() == 0
    assert server.last_account() == (5, 5, 0, 0, 0)


@pytest.mark.parametrize(
    ("fault", "counter", "label"),
    [("own counter", 'out\\"\n', r"out\\\"\n"), ("no counter", "None", "None")],
)
def test_a_limit_with_a_name_of_its_own_is_503_and_counted_under_that_name(
    fault: str, counter: str, label: str, faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, env={"DISPATCH": fault, "FAULTS": "3"})
    answers = [exchange(server.port, metric_request()) for _ in range(5)]
    assert [answer.status for answer in answers] == [503] * 3 + [202] * 2
    assert answers[0].headers["retry-after"] == "1"
    counters = server.report().counters
    assert counters.rejected_by_backend == {counter: 3}
    assert counters.dispatch_errors == 0
    assert f'metricstream_rejected_total{{cause="{label}"}} 3\n' in server.ask("/metrics").decode()
    assert server.stop() == 0
    assert server.last_account() == (5, 5, 0, 0, 0)


def test_a_connection_that_was_handed_over_before_that_gets_one_answer_and_is_counted_once(
    faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, env={"DISPATCH": "late", "FAULTS": "20"})
    statuses = [exchange(server.port, metric_request()).status for _ in range(25)]
    assert set(statuses) <= {202, 500}
    counters = server.reconciled()
    assert counters.dispatch_errors == 20
    assert counters.answered == counters.accepted == 25
    assert server.stop() == 0
    assert server.last_account() == (25, 25, 0, 0, 0)
