"""`labrun compare`: settings from options, the run, and what is shown of it."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
from rich.console import Console

from harness.cli import options as check
from harness.cli.live import make_watcher
from harness.cli.table import print_run
from harness.errors import LabError
from harness.experiment.run import RunResult, run_experiment
from harness.record import Arrivals, Driver, Settings
from harness.store import RunFolder, cannot_write


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of `labrun compare`, as typed."""

    rps: str
    backends: str
    rounds: int
    duration_s: float
    warmup_s: float
    clients: int
    timeout_s: float
    arrivals: str
    workload: str
    driver: str
    workers: int
    queue_size: int
    stack_size: str
    backlog: int
    lock_stacks: bool
    switch_interval_s: float | None
    seed: int
    out: str
    name: str
    json: str | None


def make_settings(options: CompareOptions) -> Settings:
    """The settings that the options ask for. Raises `LabError` for what cannot be."""
    rates = check.parse_rates(options.rps)
    check.between("--rounds", options.rounds, 1, 1000)
    check.between("--duration", options.duration_s, 0.5, 3600)
    check.between("--warmup", options.warmup_s, 0, 600)
    check.between("--clients", options.clients, 1, 10_000)
    check.between("--timeout", options.timeout_s, 0.01, 60)
    check.between("--workers", options.workers, 1, 10_000)
    check.between("--queue-size", options.queue_size, 1, 10_000_000)
    check.between("--backlog", options.backlog, 1, 65_535)
    check.between("--seed", options.seed, 0, 2**31)
    if options.switch_interval_s is not None:
        check.between("--switch-interval", options.switch_interval_s, 1e-6, 10)
    check.one_of("--arrivals", options.arrivals, Arrivals)
    check.one_of("--driver", options.driver, Driver)
    if options.driver == "locust":
        raise LabError("--driver locust is not there yet; take open-loop or closed-loop")
    check.check_length(rates, options.duration_s)
    workload = check.parsed("--workload", options.workload, check.parse_workload)
    stack_size = check.parsed("--stack-size", options.stack_size, check.parse_stack_size)
    return Settings(
        rps=rates,
        backends=check.parse_backends(options.backends),
        rounds=options.rounds,
        duration_s=options.duration_s,
        warmup_s=options.warmup_s,
        clients=options.clients,
        timeout_s=options.timeout_s,
        arrivals=cast(Arrivals, options.arrivals),
        workload=str(workload),
        driver=cast(Driver, options.driver),
        workers=options.workers,
        queue_size=options.queue_size,
        stack_size_bytes=stack_size,
        backlog=options.backlog,
        rate_limit_per_s=rate_limit(rates, options.clients),
        lock_stacks=options.lock_stacks,
        switch_interval_s=options.switch_interval_s,
        seed=options.seed,
    )


def rate_limit(rates: list[float], clients: int) -> int:
    """The server's limit for each client: its default, or five times what a client will send, so
    that the limiter does its work at every level and says no at none."""
    return max(1000, int(5 * max(rates) / clients))


def compare_command(options: CompareOptions) -> int:
    """Run, show, save; the exit status."""
    settings = make_settings(options)
    json_path = None if options.json in (None, "-") else Path(cast(str, options.json))
    if json_path is not None and not os.access(json_path.absolute().parent, os.W_OK):
        raise LabError(f"--json {json_path}: the folder is not there or cannot be written")
    folder = RunFolder.create(Path(options.out), options.name)
    command = shlex.join(["labrun", *sys.argv[1:]])
    messages = Console(stderr=True)
    try:
        with make_watcher(messages, settings) as watcher:
            result = run_experiment(settings, folder, command, watcher)
    except (LabError, KeyboardInterrupt):
        folder.discard_if_empty()
        raise
    draw(result, messages)
    show(result, options, json_path)
    if result.interrupted:
        messages.print(f"labrun: interrupted; what was measured is in {folder.path}", style="red")
        return 130
    if not result.run.complete:
        print(f"labrun: {result.run.incomplete_reason}", file=sys.stderr)
        return 2
    return 0


def draw(result: RunResult, messages: Console) -> None:
    """The charts, into the run's folder."""
    from harness.charts import draw_all

    if not result.run.trials:
        return
    target = result.folder.path / "charts"
    try:
        with messages.status("drawing"):
            draw_all(result.run, result.requests, result.timeline, target)
    except OSError as error:
        raise cannot_write(target, error) from error


def show(result: RunResult, options: CompareOptions, json_path: Path | None) -> None:
    """The record as JSON where it was asked for, else the table."""
    data = msgspec.json.format(msgspec.json.encode(result.run), indent=1) + b"\n"
    if json_path is not None:
        try:
            json_path.write_bytes(data)
        except OSError as error:
            raise cannot_write(json_path, error) from error
    if options.json == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        print_run(Console(), result.run, result.folder.path)
