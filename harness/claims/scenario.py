"""The scenario in which the document makes its claims, and where a run departs from it. Pure."""

from __future__ import annotations

from harness.record import Run, Settings

CLIENTS, WORKERS, QUEUE_SIZE, MOST_STACK_BYTES = 100, 16, 10_000, 2 << 20


def departures(run: Run) -> list[str]:
    """What is other than the document has it, each in a few words; empty where nothing is."""
    settings = run.settings
    return [
        text
        for differs, text in (
            (settings.clients != CLIENTS, f"{settings.clients:,} clients, not {CLIENTS}"),
            (settings.workers != WORKERS, f"{settings.workers:,} workers, not {WORKERS}"),
            (settings.queue_size != QUEUE_SIZE, f"a queue of {settings.queue_size:,}"),
            (settings.workload != "ingest", f"handlers with {settings.workload} of work besides"),
            (settings.driver != "open-loop", f"the {settings.driver} driver"),
            (settings.lock_stacks, "stacks locked in memory"),
            (settings.stack_size_bytes > MOST_STACK_BYTES, _stack(settings)),
            (settings.switch_interval_s is not None, "another switch interval"),
            (_one_cpu(run), "server and generator on one CPU"),
        )
        if differs
    ]


def _stack(settings: Settings) -> str:
    return f"stacks of {settings.stack_size_bytes / (1 << 20):g} MiB"


def _one_cpu(run: Run) -> bool:
    return run.environment.server_cpus is None  # pinned wherever there are two or more
