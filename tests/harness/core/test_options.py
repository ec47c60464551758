"""The options of the servers as the lab has them: one declaration each, on either side."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

import harness
import servers
from harness.core.errors import LabError
from harness.core.options import (
    ASKED,
    CHOICES,
    SERVED,
    as_typed,
    beside,
    checked,
    conditions,
    in_words,
    unusual,
    usual,
)
from harness.core.record import Settings
from harness.session.settings import CompareOptions, make_settings
from servers.options import CHOSEN


def declared(option: str, folder: Path) -> set[str]:
    """The files in which it is a field, an argument that is passed on, or a text of its own."""
    flag = CHOSEN[option].flag
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.keyword(arg=name):
                    named = name == option
                case ast.Constant(value=str(text)):
                    named = text == option or text.startswith(flag)
                case _:
                    named = False
            if named:
                found.add(file.relative_to(folder).as_posix())
    return found


@pytest.mark.parametrize("option", ["queue_size", "backlog"])
def test_an_option_of_the_servers_is_declared_once_there_and_once_here(option: str) -> None:
    assert declared(option, Path(servers.__file__).parent) == {"options.py"}
    here = declared(option, Path(harness.__file__).parent)
    # A gallery file is a format of its own, which has the few options that tell loads apart.
    assert {file for file in here if not file.startswith("gallery/")} == {"core/record.py"}


def test_settings_are_as_usual_unless_something_is_asked_for() -> None:
    settings = make_settings(CompareOptions())
    assert {name: getattr(settings, name) for name in CHOICES} == {
        name: usual(name) for name in CHOICES
    }
    assert set(SERVED) < set(CHOSEN)


def test_the_defaults_of_the_lab_are_those_that_a_heading_leaves_out() -> None:
    options = {field.name: field.default for field in fields(CompareOptions)}
    shared = [name for name in CHOICES if name in options]
    assert len(shared) >= 4
    assert {name: usual(name) for name in shared} == {name: options[name] for name in shared}


@pytest.mark.parametrize("name", ASKED)
def test_what_a_person_would_type_for_the_default_is_the_default(name: str) -> None:
    assert checked(name, as_typed(name)) == usual(name)
    assert CHOICES[name].help


def test_text_is_read_and_numbers_are_bounded() -> None:
    made = make_settings(
        CompareOptions(
            servers={"workers": "3", "stack_size_bytes": 524_288, "workload": "cpu:500us"}
        )
    )
    assert (made.workers, made.stack_size_bytes, made.workload) == (3, 524_288, "cpu:0.5ms")
    for name, value, words in (
        ("workers", 0, "--workers must be from 1 to 10000, not 0"),
        ("max_threads", 0, "--max-threads must be from 1 to 1e+06, not 0"),
        ("switch_interval_s", 11.0, "--switch-interval must be from 1e-06 to 10, not 11"),
        ("workers", "x", "--workers must be a whole number"),
        ("workload", "io:soon", "--workload: 'io:soon' is no workload"),
    ):
        with pytest.raises(LabError) as refusal:
            checked(name, value)
        assert words in str(refusal.value)


def test_a_setting_in_words() -> None:
    assert in_words("workers", 3200) == "3,200 workers"
    assert in_words("stack_size_bytes", 512 << 10) == "stacks of 512KiB"
    assert in_words("timeout_s", 0.25) == "timeout 0.25 s"
    assert set(CHOICES) < set(Settings.__struct_fields__)


def test_what_was_chosen_otherwise_than_usual_is_named_and_nothing_else() -> None:
    assert unusual(make_settings(CompareOptions())) == []
    assert beside(make_settings(CompareOptions())) == ""
    made = make_settings(
        CompareOptions(
            timeout_s=0.2, driver="closed-loop", rps="50000",
            servers={"workers": 32, "workload": "io:40ms", "lock_stacks": True, "max_threads": 9},
        )
    )  # fmt: skip
    assert made.rate_limit_per_s > 1000  # follows from the rate, and is not named
    assert unusual(made) == [
        "timeout 0.2 s", "workload io:40ms", "closed-loop", "32 workers", "locked stacks",
        "at most 9 threads",
    ]  # fmt: skip
    assert conditions(made)[:3] == ["100 clients", "poisson arrivals", "closed-loop"]
    assert "closed-loop" not in conditions(made)[3:]


def test_arms_are_told_by_what_they_have_of_their_own_and_others_have_not() -> None:
    made = make_settings(
        CompareOptions(
            backends="thread-per-request,thread-pool",
            arms=["wide=thread-pool --workers 64 --rate-limit 0", "alias=thread-per-request",
                  "slow=thread-per-request --request-deadline 9 --lock-stacks"],
        )
    )  # fmt: skip
    assert beside(made) == (
        " (thread-per-request has --request-deadline 5; thread-pool has 16 workers and rate "
        "limit 1,000/s; wide is thread-pool with 64 workers and rate limit 0/s; alias is "
        "thread-per-request with --request-deadline 5; slow is thread-per-request with "
        "--request-deadline 9 and locked stacks)"
    )
    assert unusual(made, slots=[0, 2]) == [
        "thread-per-request has --request-deadline 5; wide is thread-pool with 64 workers and "
        "rate limit 0/s"
    ]
