"""A command whose processes do what servers do: `python process_tree.py FIFO WHAT`.

Every process keeps the FIFO open for writing and says in a line of it who it is, so that a test
that reads it learns when each is there, and by its end when all are gone.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

FIFO = sys.argv[1]


def say(*words: object) -> None:
    """One line, whole, whoever else writes."""
    os.write(OUT, (" ".join(map(str, words)) + "\n").encode())


def live(name: str) -> NoReturn:
    """Until a signal ends it."""
    say(name, os.getpid())
    while True:
        signal.pause()


def wait_to_be_told() -> None:
    """Until SIGUSR1 comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    say("waiting", os.getpid())
    signal.sigwait([signal.SIGUSR1])


def forked(child: Callable[[], None]) -> int:
    """A process that does something and ends."""
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    return pid


def prefork() -> None:
    """A master and three workers of three threads each."""

    def work() -> None:
        stay = threading.Event()
        for _ in range(2):
            threading.Thread(target=stay.wait).start()
        live("worker")

    for _ in range(3):
        forked(work)
    live("master")


def births() -> None:
    """200 threads, one after the other, and what the kernel says of switches."""
    for _ in range(200):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    say("born", usage.ru_nvcsw + usage.ru_nivcsw)
    live("done")


def parts() -> None:
    """Three threads that stay; at each word 100 more that end, and a forked process."""
    stay = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    for _ in range(3):
        threading.Thread(target=stay.wait).start()
    while True:
        say("waiting", os.getpid())
        signal.sigwait([signal.SIGUSR1])
        for _ in range(100):
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
        os.waitpid(forked(lambda: None), 0)


def flood() -> None:
    """6,000 threads, one after the other, once it is told to."""
    wait_to_be_told()
    for _ in range(6_000):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    live("done")


def burn() -> None:
    """A worker that uses CPU time, ends and is waited for; then the same as the master."""

    def work() -> None:
        while sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) < 0.2:
            sum(range(10_000))

    os.waitpid(forked(work), 0)
    work()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    say("used", sum(usage.ru_utime + usage.ru_stime for usage in used))
    live("done")


def unwaited() -> None:
    """A worker whose end nobody wants to know of."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    read, write = os.pipe()

    def work() -> None:
        os.close(write)
        os.read(read, 1)

    forked(work)
    wait_to_be_told()
    os.close(write)
    try:
        os.wait()
    except ChildProcessError:
        live("done")


def daemon() -> None:
    """Fork twice, begin a session, and let the command end."""

    def away() -> None:
        os.setsid()
        forked(lambda: live("daemon"))

    os.waitpid(forked(away), 0)


def stubborn() -> None:
    """A master and a worker that do not end when they are asked to."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    forked(lambda: live("worker"))
    live("master")


def kind() -> None:
    """Ends at once, with status 0, when it is asked to."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    live("master")


def fails() -> None:
    """Says why and ends."""
    print("starting")
    print("\x1b[31mcannot bind: no such \u202efolder\n\n", file=sys.stderr)
    sys.exit(3)


def chatters() -> None:
    """Prints 40 MB."""
    print("the first line", flush=True)
    line = "x" * 99
    for _ in range(400):
        print("\n".join([line] * 1000), flush=True)
    print("the last line", flush=True)
    live("done")


def swells() -> None:
    """Takes 64 MB and gives them back."""
    data = bytearray(64 << 20)
    data[::4096] = b"x" * len(data[::4096])
    del data
    live("done")


def tell() -> None:
    """What it was started with."""
    said = {
        "session": os.getsid(0) == os.getpid(),
        "input": os.read(0, 1).decode(),
        "folder": os.getcwd(),
        "variable": os.environ.get("NAMED"),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
    }
    say(json.dumps(said))
    live("done")


if __name__ == "__main__":
    OUT = os.open(FIFO, os.O_WRONLY)
    globals()[sys.argv[2]]()
