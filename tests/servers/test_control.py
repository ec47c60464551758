"""Nobody gets in who was not asked, and the report says the same in both of its forms."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

from serving import Answer, StartServer, connect, exchange, metric_request, read_answer

from servers.control import SAMPLE_REQUEST, TOKEN_VARIABLE
from servers.housekeeper import MAX_CONTROL_CONNECTIONS

TOKEN = "correct horse"


def ask_control(port: int, path: str = "/report", *headers: str, method: str = "GET") -> Answer:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close", *headers, "", ""]
    return exchange(port, "\r\n".join(lines).encode())


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
            env=environment | empty, capture_output=True, text=True, timeout=15, check=False,
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
    server = start_server(backend, "--rate-limit=3")
    statuses = [exchange(server.port, metric_request()).status for _ in range(5)]
    assert statuses == [202, 202, 202, 429, 429]
    assert exchange(server.port, b"no http\r\n\r\n").status == 400
    counters = server.reconciled()
    assert counters.rejected_rate == 2
    assert counters.answered_by_status == {"202": 3, "429": 2, "400": 1}


def test_other_paths_and_methods_are_refused(backend: str, start_server: StartServer) -> None:
    port = start_server(backend).control_port
    assert ask_control(port, "/").status == 404
    assert ask_control(port, "/report", method="POST").status == 405
    assert ask_control(port, "/window").status == 405


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
