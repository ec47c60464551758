"""Nobody gets in who was not asked, and the report says the same in both of its forms."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from harness.targets.control_client import ControlClient
from servers.access import CONTROL_HEADER, TOKEN_VARIABLE
from servers.control import SAMPLE_REQUEST
from servers.housekeeper import MAX_CONTROL_CONNECTIONS
from tests.support.serving import (
    PATIENCE_S,
    Answer,
    StartServer,
    connect,
    exchange,
    metric_request,
    read_answer,
)

TOKEN = "correct horse"
KEY = f"{CONTROL_HEADER}: 1"


def ask_control(port: int, path: str = "/report", *headers: str, method: str = "GET") -> Answer:
    """What the lab's own client sends, or with `headers` somebody else."""
    host = (
        ()
        if any(header.lower().startswith("host:") for header in headers)
        else (f"Host: 127.0.0.1:{port}",)
    )
    lines = [f"{method} {path} HTTP/1.1", *host, "Connection: close", *headers, "", ""]
    return exchange(port, "\r\n".join(lines).encode("latin-1"))


def test_a_server_is_on_loopback_and_quiet_about_it(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend)
    assert server.ready["host"] == "127.0.0.1"
    assert "LISTEN" not in server.log()


def test_a_server_beyond_loopback_says_so_loudly(backend: str, start_server: StartServer) -> None:
    server = start_server(backend, "--host=0.0.0.0")
    assert "LISTENING ON 0.0.0.0" in server.log()
    assert "THE CONTROL PORT" not in server.log()  # which stays where it was


def test_the_control_port_does_not_leave_loopback_without_a_token(backend: str) -> None:
    command = [sys.executable, "-P", "-m", "servers", backend, "--port=0"]
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    for empty in ({}, {TOKEN_VARIABLE: ""}):
        done = subprocess.run(
            [*command, "--control-host=0.0.0.0"],
            env=environment | empty, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert TOKEN_VARIABLE in done.stderr


def test_beyond_loopback_the_control_port_asks_for_the_token(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(
        backend, "--control-host=0.0.0.0", env={TOKEN_VARIABLE: TOKEN}, token=TOKEN
    )
    assert "THE CONTROL PORT LISTENS ON 0.0.0.0" in server.log()
    assert TOKEN not in server.log()
    port = server.control_port
    for wrong in ((), ("Authorization: Bearer",), ("Authorization: Bearer correct horsf",),
                  ("Authorization: Bearer correct",), (f"Authorization: Basic {TOKEN}",),
                  (f"X-Authorization: Bearer {TOKEN}",)):  # fmt: skip
        for path in ("/report", "/metrics", "/sample", "/nothing"):
            answer = ask_control(port, path, *wrong)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "bearer")
    answer = ask_control(port, "/window", method="POST")
    assert answer.status == 401
    with connect(port) as sock:
        sock.sendall(SAMPLE_REQUEST)  # the sampler's fast path is no way around
        assert read_answer(sock).status == 401
    for right in (f"Authorization: Bearer {TOKEN}", f"authorization:  bearer {TOKEN}"):
        assert ask_control(port, "/report", right).status == 200


def test_on_loopback_no_token_is_asked_for_even_if_there_is_one(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, env={TOKEN_VARIABLE: TOKEN})
    assert ask_control(server.control_port).status == 200


def test_both_forms_of_the_report_say_the_same(backend: str, start_server: StartServer) -> None:
    server = start_server(backend, "--rate-limit=1")
    statuses = [exchange(server.port, metric_request()).status]
    while statuses.count(429) < 2:  # how often it is 202 before that is the machine's affair
        statuses.append(exchange(server.port, metric_request()).status)
    assert exchange(server.port, b"no http\r\n\r\n").status == 400
    counters = server.reconciled()
    assert counters.rejected_rate == 2
    assert counters.answered_by_status == {"202": len(statuses) - 2, "429": 2, "400": 1}


def test_other_paths_and_methods_are_refused(backend: str, start_server: StartServer) -> None:
    port = start_server(backend).control_port
    assert ask_control(port, "/").status == 404
    assert ask_control(port, "/report", KEY, method="POST").status == 405
    assert ask_control(port, "/window", KEY).status == 405


def test_silent_connections_do_not_keep_others_out(backend: str, start_server: StartServer) -> None:
    server = start_server(backend)
    with ExitStack() as stack:
        for _ in range(2 * MAX_CONTROL_CONNECTIONS):
            stack.enter_context(connect(server.control_port))
        assert ask_control(server.control_port).status == 200
        server.report()  # whoever had been answered before is still connected


def test_error_bodies_are_ascii_whatever_a_client_sent(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend)
    body = '{"name":"a","value":1,"tags":{"\\u001b[31m\\n\u202e":1}}'.encode()
    answer = exchange(server.port, metric_request(body=body))
    assert answer.status == 422
    assert answer.body.isascii()
    assert answer.body.decode().isprintable()
    answer = exchange(server.port, b"GET /\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status in (400, 404)
    assert answer.body.decode().isprintable()
    assert "\x1b" not in server.log()


def refused(answer: Answer, status: int, words: bytes) -> bool:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    return words in answer.body


# Point 23 of "no figure that flatters, no test that fails by chance": the control port answered the
# pages of a browser, which could reset a measurement or replace the server.


@pytest.mark.parametrize("path", ["/window", "/restart"])
def test_what_changes_something_needs_a_header_that_no_page_can_send(
    path: str, backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, "--allow-restart")
    pid, window_ns = server.report().pid, server.report().window_ns
    # A form of a page can send each of these.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = ask_control(server.control_port, path, f"Content-Type: {kind}", method="POST")
        assert refused(answer, 403, b"needs the header X-Lab-Control: 1")
    assert (server.report().pid, server.report().window_ns) == (pid, window_ns)
    answer = ask_control(server.control_port, path, KEY, method="POST")
    assert answer.status == (200 if path == "/window" else 400)  # no order came with it


def test_a_sample_begins_a_step_so_it_needs_the_header_too(
    backend: str, start_server: StartServer
) -> None:
    port = start_server(backend).control_port
    assert refused(ask_control(port, "/sample"), 403, b"X-Lab-Control")
    assert ask_control(port, "/sample", KEY).status == 200


PAGES = ("Origin: http://evil.example", "Origin: null", "Origin: ", "Sec-Fetch-Site: cross-site",
         "Sec-Fetch-Site: same-site")  # fmt: skip


def test_no_page_is_answered_whatever_it_sends(backend: str, start_server: StartServer) -> None:
    server = start_server(backend)
    for page, method, path in itertools.product(
        PAGES, ("GET", "POST", "OPTIONS", "HEAD", "PUT"), ("/report", "/window")
    ):
        answer = ask_control(server.control_port, path, page, KEY, method=method)
        assert refused(answer, 403, b"No page of a browser"), (page, method, path)
        assert "access-control-allow-origin" not in answer.headers


def test_a_page_that_calls_its_own_name_our_address_is_not_answered(
    start_server: StartServer,
) -> None:
    server = start_server("thread-pool")
    port = server.control_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}",
                 f"localhost.evil.example:{port}", f"127.0.0.1:{port}.", f"127.0.0.2:{port}", "",
                 "control", f"[::2]:{port}", f"\xff:{port}", f"::1:{port}"):  # fmt: skip
        for method, path in (("GET", "/report"), ("GET", "/metrics"), ("POST", "/window")):
            answer = ask_control(port, path, f"Host: {host}", KEY, method=method)
            assert refused(answer, 421, b"Host is not the address of this control port"), host
    two = ask_control(port, "/report", f"Host: 127.0.0.1:{port}", "Host: evil.example")
    assert two.status == 421
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert ask_control(port, "/report", f"Host: {host}:{port}").status == 200


def test_the_control_port_may_be_called_what_it_was_told_to_be_and_what_it_is(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(
        backend, "--control-host=0.0.0.0", env={TOKEN_VARIABLE: TOKEN}, token=TOKEN
    )
    port, token = server.control_port, f"Authorization: Bearer {TOKEN}"
    answer = ask_control(port, "/report", token, f"Host: evil.example:{port}")
    assert refused(answer, 421, b"--control-host")
    for host in ("0.0.0.0", "127.0.0.1", "localhost"):
        assert ask_control(port, "/report", token, f"Host: {host}:{port}").status == 200
    # Whoever comes to another address of the machine calls it by that.
    with socket.create_connection(("127.0.0.2", port), timeout=PATIENCE_S) as sock:
        lines = f"GET /report HTTP/1.1\r\nHost: 127.0.0.2:{port}\r\n{token}\r\n"
        sock.sendall(f"{lines}Connection: close\r\n\r\n".encode())
        assert read_answer(sock).status == 200


def test_plain_clients_are_answered_as_ever(backend: str, start_server: StartServer) -> None:
    """What curl and Prometheus send, and the lab's own client."""
    port = start_server(backend).control_port
    for path in ("/report", "/metrics"):
        assert ask_control(port, path, "User-Agent: curl/8.5.0", "Accept: */*").status == 200
        prometheus = ("User-Agent: Prometheus/3.0.0", "Accept-Encoding: gzip",
                      "X-Prometheus-Scrape-Timeout-Seconds: 10")  # fmt: skip
        assert ask_control(port, path, *prometheus).status == 200
        typed = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate")  # by a person, into a browser
        assert ask_control(port, path, *typed).status == 200
    assert exchange(port, b"GET /metrics HTTP/1.0\r\n\r\n").status == 200
    with ControlClient("127.0.0.1", port) as control:
        assert control.open_window().window_ns > control.report().started_ns
