"""What the GIL does to threads, by the standard library alone: `python gil_script.py`, of any
CPython from 3.11 on. One line of JSON on standard output.

- `counting_s`: the same work by one thread, by two, by two on one CPU, and by two processes.
- `convoy`: an echo by a socket, alone and beside a thread that counts, by switch interval (D.
  Beazley, 2010): the echo's microseconds, and how fast the other counts.
- `turns`: of two threads that count at the same time, from when until when each went on, in ms.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

COUNT = 150_000
REPEATS = 120  # short and many: one of them has the CPUs for itself
INTERVALS_S = (0.02, 0.005, 0.001, 0.0001)
ECHOES = 15
ANSWER_S = 0.001  # as one that has to look something up
TURNS_S, GAP_S, TRIES = 0.06, 0.0015, 10


def count(times: int) -> None:
    """Compute, and nothing else."""
    while times:
        times -= 1


def seconds(work: Callable[[], None]) -> float:
    """The shortest of some: whatever else the machine does makes it longer, and never shorter."""
    took = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        work()
        took.append(time.perf_counter() - began_s)
    return min(took)


def two_threads() -> None:
    """Half of the work in each."""
    threads = [threading.Thread(target=count, args=(COUNT,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def two_processes() -> float:
    """Half of the work in each: seconds, from when both are there."""
    waits, opens = os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os.close(opens)
            os.read(waits, 1)  # until the parent closes the other end
            count(COUNT)
            os._exit(0)
        children.append(child)
    os.close(waits)
    began_s = time.perf_counter()
    os.close(opens)
    for child in children:
        os.waitpid(child, 0)
    return time.perf_counter() - began_s


def on_one_cpu(work: Callable[[], None]) -> float:
    """Seconds of it where both must share one CPU."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        return seconds(work)
    finally:
        os.sched_setaffinity(0, all_of_them)


def echoing(near: socket.socket, far: socket.socket) -> int:
    """Start a process that sends back each byte, a little later; its number."""
    child = os.fork()
    if child == 0:
        near.close()
        while data := far.recv(1):
            time.sleep(ANSWER_S)
            far.send(data)
        os._exit(0)
    far.close()
    return child


def echoes_us(near: socket.socket) -> list[float]:
    """Microseconds of each echo, in order of their length."""
    took = []
    for _ in range(ECHOES):
        began_s = time.perf_counter()
        near.send(b"x")
        near.recv(1)
        took.append((time.perf_counter() - began_s) * 1e6)
    return sorted(took)


def convoy() -> list[dict[str, Any]]:
    """The echo alone, and then beside a thread that counts, by switch interval."""
    near, far = socket.socketpair()
    child = echoing(near, far)
    alone_us = echoes_us(near)[ECHOES // 2]
    found: list[dict[str, Any]] = []
    usual_s = sys.getswitchinterval()
    for interval_s in INTERVALS_S:
        sys.setswitchinterval(interval_s)
        counted, done = [0], threading.Event()
        other = threading.Thread(target=count_until, args=(done, counted))
        other.start()
        time.sleep(0.02)
        began_s, before = time.perf_counter(), counted[0]
        us = echoes_us(near)
        per_s = (counted[0] - before) / (time.perf_counter() - began_s)
        done.set()
        other.join()
        found.append({"interval_ms": interval_s * 1e3, "alone_us": alone_us,
                      "beside_us": us[ECHOES // 2], "counts_per_s": per_s})  # fmt: skip
    sys.setswitchinterval(usual_s)
    near.close()
    os.waitpid(child, 0)
    return found


def count_until(done: threading.Event, counted: list[int]) -> None:
    """Compute until it is enough."""
    while not done.is_set():
        count(500)
        counted[0] += 500


def turns() -> list[list[list[float]]]:
    """Of some tries that in which the two went on the most: the others lacked a CPU for a while."""
    return max((turns_once() for _ in range(TRIES)), key=went_on_ms)


def went_on_ms(found: list[list[list[float]]]) -> float:
    """All stretches of both together."""
    return sum(end - begin for stretches in found for begin, end in stretches)


def turns_once() -> list[list[list[float]]]:
    """Two threads stamp the time as often as they can; where a stamp fails to come for a while, the
    thread did not go on."""
    stamps: list[list[float]] = [[], []]
    start = threading.Barrier(2)

    def stamp(mine: list[float]) -> None:
        start.wait()
        until_s = time.perf_counter() + TURNS_S
        while (now_s := time.perf_counter()) < until_s:
            mine.append(now_s)
            count(200)

    threads = [threading.Thread(target=stamp, args=(mine,)) for mine in stamps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    began_s = min(mine[0] for mine in stamps)
    return [_stretches(mine, began_s) for mine in stamps]


def _stretches(stamps: list[float], began_s: float) -> list[list[float]]:
    found = [[stamps[0], stamps[0]]]
    for now_s in stamps[1:]:
        if now_s - found[-1][1] > GAP_S:
            found.append([now_s, now_s])
        found[-1][1] = now_s
    return [[round((t - began_s) * 1e3, 3) for t in ends] for ends in found]


def main() -> None:
    """All of it."""
    # Before there is a thread: who forks with threads has but one of them in the child.
    processes_s = min(two_processes() for _ in range(REPEATS))
    seen = {
        "version": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)),
        "counting_s": {
            "one thread": seconds(lambda: count(2 * COUNT)),
            "two threads": seconds(two_threads),
            "two threads, one CPU": on_one_cpu(two_threads),
            "two processes": processes_s,
        },
        "convoy": convoy(),
        "turns": turns(),
    }
    # Last: what is imported may have switched it on again.
    seen["gil"] = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
