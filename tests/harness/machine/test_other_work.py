"""What else had the server's CPUs: read from a real machine, and from files that are made up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.machine.other_work import OtherTasks

LOOKS = """
import os, sys
from harness.machine.other_work import OtherTasks
tasks = OtherTasks(frozenset(os.sched_getaffinity(0)))
tasks.look()
print("looked", flush=True)
sys.stdin.readline()
found = tasks.most()
print(found.cpu_ms, flush=True)
"""


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="this kernel keeps no account of each task"
)
def test_who_works_beside_is_seen_with_its_time() -> None:
    """This process is beside one that looks, which is its child and not the other way round. The
    account of a task that runs may be behind by a tick, so half of what it took is enough."""
    command = [sys.executable, "-c", LOOKS]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as looking:
        assert looking.stdin is not None
        assert looking.stdout is not None
        assert looking.stdout.readline() == "looked\n"
        until_s = time.thread_time() + 0.1
        while time.thread_time() < until_s:
            pass
        looking.stdin.write("\n")
        looking.stdin.flush()
        assert float(looking.stdout.readline()) >= 50.0


def test_a_run_is_not_beside_itself() -> None:
    """Neither this process nor its child is other work, however much they do."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        tasks = OtherTasks(frozenset(os.sched_getaffinity(0)))
        seen = {pid for (pid, _), _ in tasks.times()}
        child.communicate(b"\n")
    assert not seen & {os.getpid(), child.pid}
    assert os.getppid() in seen


def task(proc: Path, pid: int, name: str, cpu: int, time_ns: int, parent: int = 1) -> None:
    folder = proc / str(pid) / "task" / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    fields = [str(pid), f"({name})", "S", str(parent), *["0"] * 34, str(cpu), "0"]
    for place in (folder, proc / str(pid)):
        (place / "stat").write_text(" ".join(fields))
    (folder / "schedstat").write_text(f"{time_ns} 0 0\n")


@pytest.fixture
def tasks(tmp_path: Path) -> OtherTasks:
    task(tmp_path, 1, "init", 0, 10_000_000, parent=0)
    task(tmp_path, 2, "kthreadd", 0, 0, parent=0)
    task(tmp_path, 7, "a (strange) name", 0, 5_000_000)
    task(tmp_path, 8, "elsewhere", 1, 5_000_000)
    task(tmp_path, 9, "ksoftirqd/0", 0, 0, parent=2)
    tasks = OtherTasks(frozenset({0}), tmp_path)
    tasks.look()
    return tasks


def test_the_one_that_took_most_on_these_cpus_is_named(tasks: OtherTasks, tmp_path: Path) -> None:
    task(tmp_path, 1, "init", 0, 11_000_000, parent=0)
    task(tmp_path, 7, "a (strange) name", 0, 7_500_000)
    task(tmp_path, 8, "elsewhere", 1, 95_000_000)
    found = tasks.most()
    assert found is not None
    assert (found.cpu_ms, found.name) == (2.5, "a (strange) name")


def test_who_came_since_counts_whole(tasks: OtherTasks, tmp_path: Path) -> None:
    task(tmp_path, 10, "new", 0, 3_000_000)
    found = tasks.most()
    assert found is not None
    assert (found.cpu_ms, found.name) == (3.0, "new")


def test_the_kernels_work_for_the_load_is_not_other_work(tasks: OtherTasks, tmp_path: Path) -> None:
    task(tmp_path, 9, "ksoftirqd/0", 0, 80_000_000, parent=2)
    found = tasks.most()
    assert found is not None
    assert (found.cpu_ms, found.name) == (0.0, None)


def test_a_kernel_without_the_account_says_nothing(tmp_path: Path) -> None:
    task(tmp_path, 7, "somebody", 0, 5_000_000)
    (tmp_path / "7" / "task" / "7" / "schedstat").unlink()
    tasks = OtherTasks(frozenset({0}), tmp_path)
    tasks.look()
    assert tasks.most() is None
