"""What is measured beside the trials: threads, the queue's put, moves between CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from harness.core.errors import LabError
from harness.core.record import ThreadCost
from harness.machine.costs import measure_enqueue_us, measure_thread_costs
from harness.machine.cpus import CannotCount, MoveCounter

CPUS = sorted(os.sched_getaffinity(0))

# Waits for a line, lets a new thread change CPUs as often as told, ends it, says so, waits again.
MOVER = """
import os, sys, threading
def move(times, cpus):
    for step in range(times):
        os.sched_setaffinity(0, {cpus[step % 2]})
first, second = sorted(os.sched_getaffinity(0))[:2]
print("ready", flush=True)
sys.stdin.readline()
thread = threading.Thread(target=move, args=(int(sys.argv[1]), (first, second)))
thread.start()
thread.join()
print("moved", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU: no thread can move")
def test_moves_of_a_thread_that_has_ended_are_counted() -> None:
    counts = {}
    for times in (0, 100):
        command = [sys.executable, "-c", MOVER, str(times)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as mover:
            assert mover.stdin is not None
            assert mover.stdout is not None
            assert mover.stdout.readline() == "ready\n"
            try:
                with MoveCounter(mover.pid) as counter:
                    mover.stdin.write("go\n")
                    mover.stdin.flush()
                    assert mover.stdout.readline() == "moved\n"
                    counts[times] = counter.read()
            except CannotCount as error:
                mover.kill()
                pytest.skip(str(error))
            mover.stdin.close()
    # The first step may find the thread where it is sent; every other one moves it.
    assert counts[100] >= 99
    assert counts[100] > counts[0]


def test_moves_of_a_process_that_is_not_there_cannot_be_counted() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(CannotCount, match="is gone"):
        MoveCounter(ended.pid)


def test_enqueuing_is_measured_batch_by_batch_and_leaves_nothing_behind() -> None:
    before = os.sched_getaffinity(0), threading.active_count()
    times_us = measure_enqueue_us(frozenset(CPUS[:1]), workers=3, batches=4)
    assert len(times_us) == 4
    assert all(time > 0 for time in times_us)
    assert (os.sched_getaffinity(0), threading.active_count()) == before


def test_thread_costs_say_what_they_were_measured_with() -> None:
    costs = measure_thread_costs(512 << 10, lock_stacks=False, cpus=frozenset(CPUS[:1]))
    assert (costs.stack_size_bytes, costs.lock_stacks, costs.cpus) == (512 << 10, False, CPUS[:1])
    found = [getattr(costs, name) for name in costs.__struct_fields__]
    figures = [value for value in found if isinstance(value, ThreadCost)]
    assert len(figures) == len(costs.__struct_fields__) - 3  # all but what they were measured with
    for figure in figures:
        assert 0 < figure.least <= figure.median <= figure.most
        assert figure.ci_low is not None
        assert figure.batches >= 5


def test_thread_costs_on_a_cpu_that_is_not_there_are_one_sentence() -> None:
    with pytest.raises(LabError, match="the cost of a thread cannot be measured: ") as caught:
        measure_thread_costs(2 << 20, lock_stacks=False, cpus=frozenset({4000}))
    assert "\n" not in str(caught.value)
