"""Fixtures of the servers' tests: every test meets a real server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import StartServer, servers

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
