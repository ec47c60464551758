"""Fixtures of the servers' tests: every test meets a real server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import Gate, StartServer, servers

BACKENDS = ("thread-per-request", "thread-pool")
FAULTY = {"thread-per-request": "faulty:Threads", "thread-pool": "faulty:Pool"}


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start servers that end with the test."""
    with servers() as start:
        yield start


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    name: str = request.param
    return name


@pytest.fixture
def faulty_backend(backend: str) -> str:
    """The same, with handlers that go wrong as the environment says."""
    return FAULTY[backend]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """What the handlers of a `faulty_backend` wait at, when it is in their environment."""
    found = Gate(tmp_path)
    yield found
    found.close()
