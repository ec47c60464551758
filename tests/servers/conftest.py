"""Fixtures of the servers' tests: every test meets a real server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import BACKENDS, IN_PYTHON, Gate, StartServer, servers

FAULTY = {
    "thread-per-request": "faulty:Threads",
    "thread-pool": "faulty:Pool",
    "event-loop": "faulty:Loop",
    "prefork": "faulty:Forked",
}


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start servers that end with the test."""
    with servers() as start:
        yield start


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`backend` is each in turn; those in C++ have no handlers that go wrong on purpose."""
    if "backend" in metafunc.fixturenames:
        faulty = "faulty_backend" in metafunc.fixturenames
        metafunc.parametrize("backend", IN_PYTHON if faulty else BACKENDS)


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
