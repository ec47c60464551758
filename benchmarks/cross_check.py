"""Do others see what the lab sees? `python -m benchmarks.cross_check [--seconds 4] [--rps 200]`

wrk, hey (Debian packages) and Locust (a dependency of the lab) drive the same server, one new
process for each, at the same light load and at saturation; the lab's own figures stand beside
theirs, with the reasons where they differ. Server on the first CPU, whoever drives on the last.
Exit status 0, or 2 when a tool is missing or failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import lab_settings, print_table, run_trials
from benchmarks.peak import running
from harness.core.errors import LabError
from harness.core.record import Trial
from harness.drivers.payloads import BODY

BACKEND = "thread-pool"
LIGHT_CLIENTS, MANY_CLIENTS = 10, 100
_UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}

REASONS = """\
Why they differ:
- What is timed. wrk and hey time the exchange as the lab's service time does, connecting included
  in hey and in the lab, excluded in wrk (it begins when the request is written). Locust times it in
  Python, through requests and urllib3: several hundred us of its own work are in each figure, and
  it rounds to whole milliseconds.
- When it is sent. All three are closed loops: who waits for an answer sends nothing. hey -q and
  Locust's constant_throughput pace each client, wrk's delay() pauses after each answer, so wrk
  offers a little less. Only the lab's response time counts from the intended time.
- At saturation a closed loop's mean is clients / rate by Little's law, whoever measures: 100
  clients at 5,000 a second wait 20 ms each, and who gets fewer requests off sees longer times.
  Rates differ by what the driver costs itself: Locust's own CPU is the limit long before the
  server's, and the lab says generator-limited where its own is.
- Two drivers never saw the same second of this machine: compare what differs by a factor."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one tool says: requests a second, times in microseconds (None: it does not say)."""

    tool: str
    rate: float
    p50_us: float | None
    p99_us: float | None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for. `rps` None: as fast as it goes."""

    clients: int
    rps: float | None
    seconds: float


def run_tool(command: list[str], seconds: float) -> str:
    """Standard output of a tool, pinned to the last CPU. Raises `LabError` when it fails."""
    cpu = str(max(os.sched_getaffinity(0)))
    try:
        done = subprocess.run(
            ["taskset", "-c", cpu, *command],
            capture_output=True, text=True, timeout=seconds + 60, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{command[0]} did not end in time") from error
    if not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise LabError(f"{command[0]} failed and said: {last[0]}")
    return done.stdout


def found_in(pattern: str, text: str, tool: str) -> re.Match[str]:
    """The place in a tool's output. Raises `LabError` where it is not."""
    found = re.search(pattern, text)
    if found is None:
        raise LabError(f"the output of {tool} has no {pattern!r}; which version is it?")
    return found


def wrk(url: str, load: Load, folder: Path) -> Seen:
    """wrk, one thread; a rate by a pause after each answer."""
    pause = ""
    if load.rps is not None:
        pause = f"function delay() return {1000 * load.clients / load.rps:.0f} end\n"
    script = folder / "wrk.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [[{BODY}]]\n'
        f'wrk.headers["Content-Type"] = "application/json"\nwrk.headers["Connection"] = "close"\n'
        f"{pause}",
        encoding="utf-8",
    )
    text = run_tool(
        ["wrk", "-t1", f"-c{load.clients}", f"-d{load.seconds:g}s", "--latency", "-s", str(script),
         url], load.seconds,
    )  # fmt: skip

    def time_us(share: str) -> float:
        found = found_in(rf"{share}%\s+([\d.]+)(us|ms|s|m)\b", text, "wrk")
        return float(found[1]) * _UNITS_US[found[2]]

    rate = float(found_in(r"Requests/sec:\s+([\d.]+)", text, "wrk")[1])
    remark = "some answers were not 2xx" if "Non-2xx" in text else ""
    return Seen("wrk", rate, time_us("50"), time_us("99"), remark)


def hey(url: str, load: Load, folder: Path) -> Seen:
    """hey without keep-alive; -q paces each client."""
    body = folder / "body.json"
    body.write_text(BODY, encoding="utf-8")
    pace = [] if load.rps is None else ["-q", f"{load.rps / load.clients:g}"]
    text = run_tool(
        ["hey", "-z", f"{load.seconds:g}s", "-c", str(load.clients), *pace, "-m", "POST",
         "-disable-keepalive", "-T", "application/json", "-D", str(body), url], load.seconds,
    )  # fmt: skip

    def time_us(share: str) -> float | None:
        # With fewer than 100 answers hey leaves its 99 % out.
        found = re.search(rf"{share}%+ in ([\d.]+) secs", text)
        return None if found is None else float(found[1]) * 1e6

    rate = float(found_in(r"Requests/sec:\s+([\d.]+)", text, "hey")[1])
    statuses = set(re.findall(r"\[(\d{3})\]\s+\d+ responses", text))
    remark = "" if statuses == {"202"} else f"answers: {', '.join(sorted(statuses)) or 'none'}"
    return Seen("hey", rate, time_us("50"), time_us("99"), remark)


def locust(url: str, load: Load, folder: Path) -> Seen:
    """Locust, headless, in one process."""
    pace = "constant(0)"
    if load.rps is not None:
        pace = f"constant_throughput({load.rps / load.clients:g})"
    file = folder / "locustfile.py"
    file.write_text(
        "import gevent\n"
        "from locust import HttpUser, constant, constant_throughput, events, task\n\n\n"
        # Its own --run-time begins before its clients do.
        "@events.init.add_listener\ndef arm(environment, **_):\n"
        "    def end_later(**_):\n"
        f"        gevent.spawn_later({load.seconds}, environment.runner.quit)\n\n"
        "    environment.events.spawning_complete.add_listener(end_later)\n\n\n"
        f"class Client(HttpUser):\n    wait_time = {pace}\n\n    @task\n    def send(self):\n"
        f"        self.client.post({url!r}, data={BODY!r}, headers={{'Connection': 'close',"
        " 'Content-Type': 'application/json'})\n",
        encoding="utf-8",
    )
    text = run_tool(
        [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json",
         "--only-summary", "-u", str(load.clients), "-r", "100",
         "--host", url], load.seconds,
    )  # fmt: skip
    entries = json.loads(text)
    if not entries:
        raise LabError("Locust finished no request; take more --seconds")
    (entry,) = entries
    counts = sorted((float(ms), n) for ms, n in entry["response_times"].items())
    span_s = entry["last_request_timestamp"] - entry["start_time"]
    failed = f"{entry['num_failures']} failures" if entry["num_failures"] else ""
    return Seen(
        "Locust", entry["num_requests"] / span_s, _share(counts, 0.5), _share(counts, 0.99), failed
    )


def _share(counts: list[tuple[float, int]], share: float) -> float | None:
    """The smallest of the counted milliseconds that so large a share does not exceed, in us."""
    left = share * sum(n for _, n in counts)
    for milliseconds, n in counts:
        left -= n
        if left <= 0:
            return milliseconds * 1e3
    return None


def lab(load: Load, rps: float, driver: str) -> list[Seen]:
    """The lab's own driver: its service time and its response time."""
    settings = lab_settings(
        rps=f"{rps:.0f}", backends=BACKEND, rounds=1, duration_s=load.seconds, warmup_s=0.5,
        clients=load.clients, arrivals="constant", driver=driver, timeout_s=10.0,
    )  # fmt: skip
    (trial,) = run_trials(settings)
    return [_of(trial, f"lab, {driver}", kind) for kind in ("service", "response")]


def _of(trial: Trial, name: str, kind: str) -> Seen:
    client = trial.client
    times = client.service_us if kind == "service" else client.response_us
    remark = "" if trial.valid else trial.class_
    return Seen(f"{name}, {kind}", client.achieved_rps, times.p50, times.p99, remark)


TOOLS: tuple[tuple[str, Callable[[str, Load, Path], Seen]], ...] = (
    ("wrk", wrk),
    ("hey", hey),
    ("locust", locust),
)


def tools(load: Load) -> list[Seen]:
    """Every tool against a fresh server of its own."""
    seen = []
    cpu = min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="lab-cross-") as folder:
        for _, tool in TOOLS:
            with running(BACKEND, cpu) as port:
                seen.append(tool(f"http://127.0.0.1:{port}/metrics", load, Path(folder)))
    return seen


def show(title: str, seen: list[Seen]) -> None:
    """One table."""

    def time(value: float | None) -> str:
        return "-" if value is None else f"{value / 1e3:,.2f}"

    print_table(
        title,
        ("driver", "requests/s", "p50, ms", "p99, ms", ""),
        [[s.tool, f"{s.rate:,.0f}", time(s.p50_us), time(s.p99_us), s.remark] for s in seen],
    )


def check_tools() -> None:
    """Raise `LabError` for what is not installed."""
    missing = [name for name in ("wrk", "hey", "taskset") if shutil.which(name) is None]
    if missing:
        raise LabError(
            f"not installed: {', '.join(missing)}; install the Debian packages wrk, hey and "
            "util-linux"
        )


def main() -> int:
    """Print both tables and the reasons."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cross_check", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each tool (default 4)")
    parser.add_argument("--rps", type=float, default=200.0, help="light load (default 200)")
    found = parser.parse_args()
    try:
        check_tools()
        light = Load(LIGHT_CLIENTS, found.rps, found.seconds)
        seen = [*tools(light), *lab(light, found.rps, "open-loop")]
        show(f"{BACKEND}, {LIGHT_CLIENTS} clients, {found.rps:g} requests a second asked for", seen)
        full = Load(MANY_CLIENTS, None, found.seconds)
        theirs = tools(full)
        rate = 1.2 * max(s.rate for s in theirs)
        show(
            f"{BACKEND}, {MANY_CLIENTS} clients, as fast as it goes (the lab is asked for "
            f"{rate:,.0f})",
            [*theirs, *lab(full, rate, "closed-loop")],
        )
    except LabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(REASONS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
