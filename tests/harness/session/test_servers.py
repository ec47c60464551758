"""Servers of any kind and the request, as typed and as a file has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import LabError
from harness.core.record import RequestSettings, ServerSettings, Settings
from harness.session.settings import CompareOptions, make_settings
from tests.support.changed_runs import assert_one_sentence
from tests.support.labrun import Labrun

ONE, OTHER = "one=serve --port {port} 'a b'", "other=serve"
FILE = """
[servers.old]
command = "./old {port}"
cwd = "."
env = {WORKERS = "4"}
ready = "GET:/healthz"
ready_timeout = 5

[servers.live]
url = "http://127.0.0.1:9000/"

[request]
request = "GET /items"
expect = "200"
"""


def made(**typed: Any) -> Settings:
    return make_settings(CompareOptions(backends=typed.pop("backends", ""), **typed))


def refused(**typed: Any) -> str:
    with pytest.raises(LabError) as caught:
        made(**typed)
    return str(caught.value)


def test_a_command_is_split_as_a_shell_would() -> None:
    settings = made(server=[ONE, OTHER], env=["WORKERS=4", "EMPTY="], ready="GET:/healthz")
    assert settings.backends == ["one", "other"]
    assert settings.outside
    assert settings.servers[0] == ServerSettings(
        name="one",
        command=["serve", "--port", "{port}", "a b"],
        environment={"WORKERS": "4", "EMPTY": ""},
        ready="GET:/healthz",
    )


def test_they_stand_beside_backends_and_arms() -> None:
    settings = made(backends="thread-pool", arms=["wide=thread-pool --workers 64"], server=[ONE])
    assert [arm.name for arm in settings.arms] == ["thread-pool", "wide", "one"]
    assert settings.backends == ["thread-pool", "thread-pool", "one"]
    assert made(backends="thread-pool", server=[ONE]).backends == ["thread-pool", "one"]


def test_a_file_has_a_table_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labrun.toml").write_text(FILE)
    expected = [
        ServerSettings(
            name="old", command=["./old", "{port}"], folder=".", environment={"WORKERS": "4"},
            ready="GET:/healthz", ready_timeout_s=5.0,
        ),
        ServerSettings(name="live", url="http://127.0.0.1:9000"),
    ]  # fmt: skip
    assert made(servers_file="labrun.toml").servers == expected
    # One by its name, another by its command; and what the file says of the request.
    settings = made(server=["old", OTHER])
    assert [server.name for server in settings.servers] == ["old", "other"]
    assert settings.request == RequestSettings(method="GET", path="/items", expect=[200])
    assert made(server=["old"], expect="204").request == RequestSettings(
        method="GET", path="/items", expect=[204]
    )
    assert "did you mean old?" in refused(server=["odl"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[servers.a]\ncommnad = 'x'", ["'commnad' of [servers.a]", "did you mean command?"]),
        ("[server.a]\ncommand = 'x'", ["'server'", "did you mean servers?"]),
        ("[request]\nexpekt = '200'\n[servers.a]\ncommand='x'", ["'expekt'", "mean expect?"]),
        ("[servers.a]\ncwd = '.'", ["[servers.a]", "needs a command"]),
        ("[servers.a]\ncommand = 7", ["servers.toml", "Expected `str", "mend"]),
        ("[servers.a]\ncommand = ''", ["no command"]),
        ("[servers", ["TOML"]),
        ("", ["no table [servers.NAME]"]),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    file = tmp_path / "servers.toml"
    file.write_text(text)
    said = refused(servers_file=str(file))
    assert all(word in said for word in words), said


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "there is no file" in refused(servers_file=str(tmp_path / "none.toml"))
    assert "is no name and command" in refused(server=["nothing-like-it"])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"server": [ONE, ONE]}, ["two would have the name one"]),
        ({"server": ["thread-pool=x"], "backends": "thread-pool"}, ["the name thread-pool"]),
        ({"server": ["=serve"]}, ["no name and command"]),
        ({"server": ["one= "]}, ["no name and command"]),
        ({"server": ["one=serve 'open"]}, ["No closing quotation"]),
        ({"server": ["n" * 41 + "=serve"]}, ["up to 40 letters"]),
        ({"server": [ONE], "cwd": "nowhere"}, ["--cwd", "nowhere is no folder"]),
        ({"server": [ONE], "env": ["WORKERS"]}, ["--env 'WORKERS'", "WORKERS=4"]),
        ({"server": [ONE], "ready": "/healthz"}, ["--ready '/healthz'", "GET:/healthz"]),
        ({"server": [ONE], "ready_timeout_s": 0.0}, ["--ready-timeout", "0.1 to 600"]),
        ({"url": ["live=https://127.0.0.1:9000"]}, ["speaks TLS", "http://"]),
        ({"url": ["live=127.0.0.1:9000"]}, ["is no address"]),
        ({"url": ["live=http://127.0.0.1:99000"]}, ["is no address"]),
        ({"url": ["http://127.0.0.1:9000"]}, ["no name and address"]),
        ({"url": ["live=http://127.0.0.1:9000/metrics"]}, ["--request 'GET /metrics'"]),
        ({"url": ["live=http://127.0.0.1:9000"], "env": ["A=1"]}, ["--env is for --server"]),
        ({"backends": "thread-pool", "ready": "GET:/"}, ["--ready is for --server"]),
        ({"server": [ONE], "driver": "locust"}, ["--server and --driver locust"]),
        ({"server": [f"s{n}=serve" for n in range(7)]}, ["compare at most 6"]),
        ({"server": [ONE], "request": "metrics"}, ["--request 'metrics'", "method and path"]),
        ({"server": [ONE], "request": "GET metrics"}, ["method and path"]),
        ({"server": [ONE], "request": "GET /a b"}, ["method and path"]),
        ({"server": [ONE], "header": ["Accept"]}, ["--header 'Accept'", "name and value"]),
        ({"server": [ONE], "header": ["A: b\r\nC: d"]}, ["--header", "line break"]),
        ({"server": [ONE], "header": ["Content-Length: 7"]}, ["Content-Length", "leave it out"]),
        ({"server": [ONE], "expect": "abc"}, ["--expect 'abc'", "200,202"]),
        ({"server": [ONE], "expect": "200,99"}, ["'99' is no status"]),
        ({"server": [ONE], "body": "@nowhere.json"}, ["no such file"]),
        ({"server": [ONE], "body": "x" * 200_000}, ["200,000 bytes"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)
def test_what_cannot_be_is_refused_in_a_sentence(typed: dict[str, Any], words: list[str]) -> None:
    said = refused(**typed)
    assert all(word in said for word in words), said
    assert "\n" not in said


def test_a_body_is_text_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"a": 1}')
    for body in ('{"a": 1}', f"@{file}"):
        request = made(server=[ONE], request="PUT /a", body=body, header=["Accept: */*"]).request
        assert request == RequestSettings(
            method="PUT", path="/a", body='{"a": 1}', expect=[202],
            headers=[("Accept", "*/*"), ("Content-Type", "application/json")],
        )  # fmt: skip
    get = made(server=[ONE], request="GET /a", expect="200").request
    assert get is not None
    assert (get.body, get.headers) == ("", [])


def test_a_slip_of_the_finger_is_told_before_anything_starts(labrun: Labrun) -> None:
    done = labrun("compare", "--server", "one=serve {port}", "--expect", "abc")
    assert_one_sentence(done, "--expect 'abc'")
