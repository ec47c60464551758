"""Locust as the generator of a trial: `python -m harness.load.locust_run`, started by the lab.

It speaks as `harness.load.worker` does (an order on standard input; `warm`; a line to go; a
summary), but with Locust's users. One process runs them all, or is the master of several that do:
each of those keeps the account of its own users and sends it in batches, and this one alone writes
the ledger. gevent makes the whole process cooperative, so it is never the lab's own, the open-loop
generator's or a server's.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

# What follows must find the patched modules.
import os  # noqa: E402
import resource  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from array import array  # noqa: E402
from time import monotonic, monotonic_ns  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import msgspec  # noqa: E402
from gevent.os import tp_read  # noqa: E402
from locust import User, constant_throughput  # noqa: E402
from locust.env import Environment  # noqa: E402
from locust.runners import MasterRunner, Runner  # noqa: E402

from harness.load import ledger as L  # noqa: E402
from harness.load.locust_order import LocustOrder  # noqa: E402
from harness.load.locust_window import ROW, Window  # noqa: E402
from harness.load.locustfile import MetricStreamSocketUser, MetricStreamUser  # noqa: E402
from harness.load.worker import Summary  # noqa: E402

_TICK_S = 0.02
_SHIP_S = 0.25
_ARRIVE_S = 30.0
_CLASSES: dict[str, type[User]] = {"fast": MetricStreamUser, "socket": MetricStreamSocketUser}


class Stopped(Exception):
    """The run cannot go on; why, in a sentence."""


def cpu_ns() -> int:
    """CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def make_environment(order: LocustOrder) -> Environment:
    """One process's users, with their window in `environment.lab`."""
    chosen = _CLASSES[order.user_class]
    rate = order.rps / order.users
    chosen.wait_time = constant_throughput(rate)
    chosen.host = f"http://{order.host}:{order.port}"
    for name in ("connection_timeout", "network_timeout", "timeout_s"):
        if hasattr(chosen, name):
            setattr(chosen, name, order.timeout_s)
    environment = Environment(user_classes=[chosen], host=chosen.host, stop_timeout=None)
    loopback = order.host.startswith("127.")
    environment.lab = Window(  # type: ignore[attr-defined]
        order.number, order.body.encode(), rate, order.timeout_s, loopback
    )
    return environment


def limit(order: LocustOrder) -> float:
    """Seconds within which a window must be over: its own, and that of the last request."""
    return order.duration_s + order.timeout_s + _ARRIVE_S


def wait_for(done: Any, limit_s: float, what: str) -> None:
    """Until `done()`. Raises `Stopped` when it takes longer."""
    until_s = monotonic() + limit_s
    while not done():
        if monotonic() > until_s:
            raise Stopped(f"{what} did not happen within {limit_s:g} s")
        gevent.sleep(_TICK_S)


class Part:
    """The users of one process, from their start to their account."""

    def __init__(self, environment: Environment, runner: Runner) -> None:
        self.window: Window = environment.lab  # type: ignore[attr-defined]
        self._runner = runner

    def held(self) -> bool:
        """Whether every user waits at the gate."""
        return self.window.waiting >= self._runner.user_count > 0

    def run_window(self, ship: Any, limit_s: float) -> tuple[int, int]:
        """Until the window is over; the CPU time and the time it took, in nanoseconds. `ship` is
        given the rows of each quarter of a second."""
        began_ns, used_ns = monotonic_ns(), cpu_ns()
        shipped_s = monotonic()
        until_s = monotonic() + limit_s
        while not self.window.over():
            if monotonic() > until_s:
                raise Stopped(f"users did not come to an end within {limit_s:g} s")
            gevent.sleep(_TICK_S)
            if monotonic() - shipped_s > _SHIP_S:
                shipped_s = monotonic()
                ship(self.window.take_rows())
        ship(self.window.take_rows())
        return cpu_ns() - used_ns, monotonic_ns() - began_ns


class Book:
    """The lab's ledger, written as rows come in."""

    def __init__(self, fd: int) -> None:
        ledger = L.Ledger.attach(fd)
        self._header, self._rows = ledger.header, ledger.rows
        self._columns = [ledger.column(c) for c in (L.CLIENT, L.INTENDED, L.SENT, L.CONNECTED,
                                                    L.ENDED, L.CODE)]  # fmt: skip
        self._allowed = ledger.column(L.ALLOWED)
        self.written = 0

    def open(self, start_ns: int) -> None:
        """The window has begun."""
        self._header[L.START_NS] = start_ns

    def add(self, rows: bytes, first_client: int) -> None:
        """Rows of a `Window` whose users come after `first_client` others."""
        values = array("q", rows)
        for place in range(0, len(values), ROW):
            at = self.written
            if at == self._rows:
                raise Stopped("there were more requests than the users could have sent")
            for column, value in zip(self._columns, values[place : place + ROW], strict=True):
                column[at] = value
            self._columns[0][at] += first_client
            # A closed loop: what is intended while its user waits is intended when it is free.
            self._allowed[at] = values[place + 1]
            self.written = at + 1
        self._header[L.CURSOR] = self.written


def run_here(order: LocustOrder) -> None:
    """All users in this process."""
    environment = make_environment(order)
    runner = environment.create_local_runner()
    part, book = Part(environment, runner), Book(order.measured_fd)
    warm_up(runner, order)
    part.window.hold()
    wait_for(part.held, order.timeout_s + _ARRIVE_S, "the end of the warm-up")
    say_warm()
    book.open(monotonic_ns())
    part.window.open(order.duration_s, order.users, 0)
    used_ns, took_ns = part.run_window(lambda rows: book.add(rows, 0), limit(order))
    say(Summary(took_ns, used_ns, 0, recorded=[part.window.recorded]))
    runner.quit()


def warm_up(runner: Runner, order: LocustOrder) -> None:
    """Start all users, and let them send for the time of the warm-up."""
    runner.start(order.users, spawn_rate=max(1000, order.users), wait=False)
    wait_for(lambda: runner.user_count >= order.users, _ARRIVE_S, "the start of all users")
    gevent.sleep(order.warmup_s)


# ---- several processes ----------------------------------------------------------------------


class Crew:
    """The worker processes of a master, and what they said."""

    def __init__(self, order: LocustOrder, runner: MasterRunner, book: Book) -> None:
        self._order, self._runner, self._book = order, runner, book
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.held: set[int] = set()
        self.first: dict[int, int] = {}
        self.done: dict[int, tuple[int, int, int]] = {}  # recorded, CPU and time in ns
        self.arrived: dict[int, int] = {}
        for name in ("held", "rows", "done"):
            runner.register_message(f"lab_{name}", getattr(self, f"_{name}"))

    def start(self) -> None:
        """Start them; they find their master by its port."""
        for number in range(1, self._order.workers + 1):
            part = msgspec.structs.replace(
                self._order, number=number, master_port=self._runner.server.port, measured_fd=-1
            )
            command = [sys.executable, "-P", "-m", "harness.load.locust_run", "--worker"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(part) + b"\n")
            process.stdin.flush()  # it stays open: a worker ends with its master
            self._processes[number] = process
        count = self._order.workers
        wait_for(lambda: len(self._runner.clients.ready) == count or self.lost(), _ARRIVE_S,
                 f"the arrival of {count} workers")  # fmt: skip
        if self.lost():
            raise Stopped(self.obituary())

    def lost(self) -> list[int]:
        """Those that ended without their account."""
        return [
            n for n, p in self._processes.items() if p.poll() is not None and n not in self.done
        ]

    def settled(self) -> bool:
        """Whether nothing more is to come."""
        return len(self.done) + len(self.lost()) == self._order.workers

    def obituary(self) -> str:
        """What to say of those that were lost."""
        told = [
            f"worker {n} of {self._order.workers} ended in mid-run with its last account "
            f"(it had sent in {self.arrived.get(n, 0):,} requests)"
            for n in self.lost()
        ]
        return "; ".join(told)

    def stop(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _held(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.held.add(msg.data["number"])
        self.first[msg.data["number"]] = msg.data["users"]

    def _rows(self, environment: Environment, msg: Any, **_: Any) -> None:
        number, rows = msg.data["number"], msg.data["rows"]
        self._book.add(rows, self.before(number))
        self.arrived[number] = self.arrived.get(number, 0) + len(rows) // (8 * ROW)

    def _done(self, environment: Environment, msg: Any, **_: Any) -> None:
        said = msg.data
        self.done[said["number"]] = (said["recorded"], said["cpu_ns"], said["took_ns"])

    def before(self, number: int) -> int:
        """How many users are in the workers before this one."""
        return sum(users for other, users in self.first.items() if other < number)


def run_crew(order: LocustOrder) -> None:
    """The master of `order.workers` processes."""
    host = f"http://{order.host}:{order.port}"  # which it tells the workers
    environment = Environment(user_classes=[_CLASSES[order.user_class]], host=host)
    runner = environment.create_master_runner("127.0.0.1", 0)
    book = Book(order.measured_fd)
    crew = Crew(order, runner, book)
    try:
        crew.start()
        warm_up(runner, order)
        runner.send_message("lab_hold")
        wait_for(lambda: len(crew.held) == order.workers or crew.lost(),
                 order.timeout_s + _ARRIVE_S, "the end of the warm-up")  # fmt: skip
        if crew.lost():
            raise Stopped(crew.obituary())
        say_warm()
        book.open(monotonic_ns())
        for client in runner.clients.all:
            runner.send_message("lab_go", {"first": crew.first, "users": order.users}, client.id)
        began_ns, used_ns = monotonic_ns(), cpu_ns()
        wait_for(crew.settled, limit(order) + _ARRIVE_S, "the end of the window")
        took_ns, own_ns = monotonic_ns() - began_ns, cpu_ns() - used_ns
        lost = crew.obituary() or None
        recorded = [crew.done[n][0] for n in sorted(crew.done)]
        if lost is None and sum(recorded) != book.written:
            lost = f"workers recorded {sum(recorded):,} requests and {book.written:,} arrived"
        busiest_ns = max([own_ns, *(cpu for _, cpu, _ in crew.done.values())])
        say(Summary(took_ns, busiest_ns, 0, recorded=recorded, failure=lost))
    finally:
        crew.stop()
        runner.quit()


def be_worker(order: LocustOrder) -> None:
    """One of several processes: users here, orders from the master."""
    environment = make_environment(order)
    runner = environment.create_worker_runner("127.0.0.1", order.master_port)
    part = Part(environment, runner)
    go = gevent.event.AsyncResult()

    def hold(environment: Environment, msg: Any, **_: Any) -> None:
        part.window.hold()
        gevent.spawn(tell_held)

    def tell_held() -> None:
        while not part.held():
            gevent.sleep(_TICK_S)
        said = {"number": order.number, "users": runner.user_count}
        runner.send_message("lab_held", said)

    def begin(environment: Environment, msg: Any, **_: Any) -> None:
        go.set(msg.data)

    runner.register_message("lab_hold", hold)
    runner.register_message("lab_go", begin)
    said = go.get()
    first = sum(users for other, users in said["first"].items() if int(other) < order.number)
    part.window.open(order.duration_s, said["users"], first)

    def ship(rows: bytes) -> None:
        if rows:
            runner.send_message("lab_rows", {"number": order.number, "rows": rows})

    used_ns, took_ns = part.run_window(ship, limit(order))
    runner.send_message("lab_done", {
        "number": order.number, "recorded": part.window.recorded, "cpu_ns": used_ns,
        "took_ns": took_ns,
    })  # fmt: skip
    gevent.get_hub().join()


# ---- the lab's side -------------------------------------------------------------------------


def say(summary: Summary) -> None:
    """The last line to the lab."""
    sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    sys.stdout.flush()


def say_warm() -> None:
    """Tell the lab, and wait until it says to go on. Ends the process when it has gone."""
    print("warm", flush=True)
    if not tp_read(0, 65_536):
        os._exit(1)


def end_with_parent() -> None:
    """Whoever started this has gone when standard input ends."""
    while tp_read(0, 65_536):
        pass
    os._exit(1)


def read_order() -> LocustOrder:
    """The first line of standard input, and not a byte more."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            os._exit(1)
        line += piece
    return msgspec.json.decode(line, type=LocustOrder)


def main() -> int:
    """Exit status 0; 1 with a sentence on standard error when the run could not be made."""
    order = read_order()
    if order.cpus:
        os.sched_setaffinity(0, order.cpus)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if "--worker" in sys.argv:
        gevent.spawn(end_with_parent)
        be_worker(order)
        return 0
    try:
        if order.workers:
            run_crew(order)
        else:
            run_here(order)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
