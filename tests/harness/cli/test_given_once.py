"""16h: an option that is given twice is refused in a sentence, where it is not meant to be
repeated; the last one used to win silently."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup, TyperOption

from harness.cli.app import app
from tests.support.labrun import Labrun, run_lab_here


def options_of_all_commands() -> Iterator[tuple[str, TyperOption]]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        for option in command.params:
            if isinstance(option, TyperOption) and not option.is_eager:
                yield name, option


ALL = list(options_of_all_commands())
ONCE = [(command, option.opts[0]) for command, option in ALL if not option.multiple]
REPEATABLE = {(command, option.opts[0]) for command, option in ALL if option.multiple}
FLAGS = {(command, option.opts[0]) for command, option in ALL if option.is_flag}


def assert_refused(done: subprocess.CompletedProcess[str], option: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert f"{option} is given more than once; give it once" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_only_thresholds_are_meant_to_be_repeated() -> None:
    assert {("regress", "--max-loss"), ("regress", "--min")} <= REPEATABLE
    assert ("compare", "--workers") in ONCE


@pytest.mark.parametrize(("command", "option"), ONCE, ids=[" ".join(pair) for pair in ONCE])
def test_an_option_given_twice_is_refused(tmp_path: Path, command: str, option: str) -> None:
    twice = (option, option) if (command, option) in FLAGS else (option, "1", f"{option}=2")
    assert_refused(run_lab_here(tmp_path, command, *twice), option)


def test_no_open_contradicts_open(tmp_path: Path) -> None:
    assert_refused(run_lab_here(tmp_path, "notebook", "--open", "--no-open"), "--open")


@pytest.mark.parametrize("program", [["servers"], ["harness.cli", "serve"]], ids=" ".join)
@pytest.mark.parametrize("twice", [["--workers", "16", "--workers=32"], ["--lock-stacks"] * 2])
def test_a_server_refuses_it_too(program: list[str], twice: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", *program, "thread-pool", "--port=0", *twice],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert_refused(done, twice[0])


@pytest.mark.parametrize("option", ["--max-loss", "--min"])
def test_a_threshold_is_named_once_for_each_metric(labrun: Labrun, option: str) -> None:
    p99 = "client.response_us.p99"
    done = labrun("regress", "nowhere", option, f"{p99}=10%", option, f"{p99}=20%")
    assert done.returncode == 2
    assert f"{option} names {p99} more than once" in done.stderr
    others = labrun("regress", "nowhere", option, f"{p99}=0.1", option, "client.success_rate=0.9")
    assert "cannot read nowhere" in others.stderr
