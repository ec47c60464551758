"""The options that several commands share: what each is, and why one would change it."""

from __future__ import annotations

from typing import Annotated

import typer

Clients = Annotated[
    int,
    typer.Option(help="Clients that share the rate, each with a rate limit and ports of its own."),
]
Timeout = Annotated[
    float,
    typer.Option(
        help="Seconds until a client gives up; longer shows a queue that shorter calls failure."
    ),
]
Arrivals = Annotated[str, typer.Option(help="poisson: independent clients; constant: equal gaps.")]
Workload = Annotated[
    str, typer.Option(help="ingest; io:40ms, a handler that waits; cpu:2ms, one that computes.")
]
Workers = Annotated[int, typer.Option(help="Threads of the pool; handlers that wait need more.")]
QueueSize = Annotated[
    int, typer.Option(help="What may wait for them, else 503; smaller bounds the wait.")
]
StackSize = Annotated[
    str,
    typer.Option(help="Address space for each thread's stack; less, where it limits threads."),
]
Backlog = Annotated[
    int,
    typer.Option(
        help="Connections that the kernel holds until accept; less shows bursts overflow."
    ),
]
LockStacks = Annotated[
    bool,
    typer.Option(
        "--lock-stacks", help="Stacks resident from the start, as the document counts memory."
    ),
]
SwitchInterval = Annotated[
    float | None,
    typer.Option(help="Seconds a thread may keep the GIL (Python: 0.005): its part in switches."),
]
MaxThreads = Annotated[
    int | None,
    typer.Option(help="Bound thread-per-request: is it the pool that helps, or the bound?"),
]
PythonPath = Annotated[
    str | None,
    typer.Option(help="Run the servers under this Python: 3.13, or a build without the GIL."),
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal schedules.")]
Budget = Annotated[
    float,
    typer.Option(help="Seconds that the whole may take; 15 are kept for what follows the trials."),
]
Out = Annotated[str, typer.Option(help="Where the run's folder goes.")]
Name = Annotated[str, typer.Option(help="The end of the folder's name.")]
Json = Annotated[
    str | None, typer.Option(help="Write the record there too; - is standard output, alone.")
]
Warmup = Annotated[
    float, typer.Option(help="Seconds of load before, thrown away: first requests are slow.")
]
