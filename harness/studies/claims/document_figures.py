"""The design document's figures, what it takes for two of them to agree, and its own sums."""

from __future__ import annotations

from harness.studies.claims.records import Check

ROUNDING = 1.05

# The document's figures. Times in microseconds, memory in MB, rates per second.
STEPS_US = (10, 1, 5, 2, 1, 10, 5)
CREATE_US, DESTROY_US, WORK_US, THREAD_US = 500, 300, 34, 834
ENQUEUE_US, WAIT_US, POOL_US, POOL_OVERHEAD_US = 1, (0, 10), 45, 11
RPS, CLIENTS, CLIENT_RPS, WORKERS = 2000, 100, 20, 16
ACTIVE, ACTIVE_STORM, WAITING, LIFE_MS = (40, 100), (40, 60), 140, (30, 50)
STACK_MB, MEMORY_MB, POOL_MEMORY_MB = (1, 2), (40, 200), 32
SWITCHES, POOL_SWITCHES = 4000, 32
MEDIAN_US, QUEUE_DEPTH = 2200, (0, 50)
MAX_RPS, POOL_MAX_RPS, WORKER_MOST, POOL_MOST = 2000, 20_000, 22_000, 352_000
SUCCESS = {500: 0.985, 1000: 0.88, 2000: 0.50, 5000: 0.44, 10_000: 0.20}
POOL_SUCCESS = {500: 0.995, 1000: 0.98, 2000: 0.95, 5000: 0.85, 10_000: 0.70}
HIRE_MIN, COOK_MIN, FIRE_MIN, CHEFS = 10, 1, 10, 16

THREAD_PART = "Current Architecture: Thread-Per-Request Model"
POOL_PART = "Proposed Architecture: Thread Pool Model"
TIMELINE, STORM = (
    f"{THREAD_PART} / Timeline of Single Request",
    f"{THREAD_PART} / Problem at High Load (2000 RPS)",
)
DRAWING = f"{THREAD_PART} / Visual Diagram"
POOL_TIMELINE = f"{POOL_PART} / Timeline of Single Request (Thread Pool)"
STEADY = f"{POOL_PART} / Performance at High Load (2000 RPS)"
FLOW = "Side-by-Side Comparison / Request Flow Comparison"
TABLE = "Side-by-Side Comparison / Resource Usage Comparison"
ANALOGY = "Key Insights / Real-World Analogy"
EXPECTED = "Implementation Impact / Expected Performance After Implementation"

Range = float | tuple[float, float]


def agrees(follows: Range, stated: Range) -> bool:
    """Whether everything that follows lies within what is stated, give or take the rounding."""
    low, high = follows if isinstance(follows, tuple) else (follows, follows)
    least, most = stated if isinstance(stated, tuple) else (stated, stated)
    return least / ROUNDING <= low and high <= most * ROUNDING


def little(rate_per_s: float, time_us: float) -> float:
    """Little's law: mean number in a system that takes `time_us` for each."""
    return rate_per_s * time_us / 1e6


def _repeated(
    id_: str, title: str, stated: str, value: Range, follows: float, sum_: str, section: str
) -> Check:
    """A calculation that the document makes itself, repeated."""
    right = agrees(follows, value)
    return Check(
        id=id_,
        title=title,
        stated=stated,
        follows=sum_,
        consistent=right,
        explanation=(
            f"The document says {stated}, and from its own figures {sum_}. "
            + ("The arithmetic is right." if right else "The arithmetic is wrong.")
        ),
        section=section,
    )


def sums() -> list[Check]:
    """Each calculation of the document, repeated."""
    steps, thread = sum(STEPS_US), CREATE_US + WORK_US + DESTROY_US
    overhead, pool = CREATE_US + DESTROY_US, ENQUEUE_US + WAIT_US[1] + WORK_US
    create_s = CREATE_US * RPS / 1e6
    busy = RPS * POOL_US / 1e6 / WORKERS
    rows: tuple[tuple[str, str, str, Range, float, str, str], ...] = (
        ("clients", "requests a second", f"{RPS:,}", RPS, CLIENTS * CLIENT_RPS,
         f"{CLIENTS} × {CLIENT_RPS} = {CLIENTS * CLIENT_RPS:,}", STORM),
        ("steps", "the seven steps", f"{WORK_US} µs", WORK_US, steps,
         f"{' + '.join(map(str, STEPS_US))} = {steps} µs", TIMELINE),
        ("thread-total", "a request, thread per request", f"{THREAD_US} µs", THREAD_US, thread,
         f"{CREATE_US} + {WORK_US} + {DESTROY_US} = {thread} µs", TIMELINE),
        ("thread-efficiency", "efficiency, thread per request", "4 %", 0.04,
         WORK_US / THREAD_US, f"{WORK_US} / {THREAD_US} = {WORK_US / THREAD_US:.1%}", TIMELINE),
        ("create-cpu", "CPU for creating threads", "1 s a second", 1.0, create_s,
         f"{CREATE_US} µs × {RPS:,} = {create_s:.2g} s a second", DRAWING),
        ("pool-total", "a request, pool", f"{POOL_US} µs", POOL_US, pool,
         f"{ENQUEUE_US} + {WAIT_US[1]} + {WORK_US} = {pool} µs", POOL_TIMELINE),
        ("pool-efficiency", "efficiency, pool", "75 %", 0.75, WORK_US / POOL_US,
         f"{WORK_US} / {POOL_US} = {WORK_US / POOL_US:.1%}", POOL_TIMELINE),
        ("faster", "how much faster a request is", "18×", 18, THREAD_US / POOL_US,
         f"{THREAD_US} / {POOL_US} = {THREAD_US / POOL_US:.1f}×", POOL_TIMELINE),
        ("overhead", "how much less overhead", "72×", 72, overhead / POOL_OVERHEAD_US,
         f"{overhead} / {POOL_OVERHEAD_US} = {overhead / POOL_OVERHEAD_US:.1f}×", TABLE),
        ("switches", "how many fewer context switches", "125×", 125, SWITCHES / POOL_SWITCHES,
         f"{SWITCHES:,} / {POOL_SWITCHES} = {SWITCHES / POOL_SWITCHES:.0f}×", TABLE),
        ("median", "how much lower the median is", "48×", 48, MEDIAN_US / POOL_US,
         f"{MEDIAN_US:,} / {POOL_US} = {MEDIAN_US / POOL_US:.1f}×", TABLE),
        ("success", "how much more succeeds at 2,000 RPS", "1.9×", 1.9,
         POOL_SUCCESS[RPS] / SUCCESS[RPS],
         f"{POOL_SUCCESS[RPS]:.0%} / {SUCCESS[RPS]:.0%} = "
         f"{POOL_SUCCESS[RPS] / SUCCESS[RPS]:.2g}×", TABLE),
        ("memory-pool", "stacks of the pool", f"{POOL_MEMORY_MB} MB", POOL_MEMORY_MB,
         WORKERS * STACK_MB[1], f"{WORKERS} × {STACK_MB[1]} = {WORKERS * STACK_MB[1]} MB", TABLE),
        ("memory-most", "stacks of 100 threads", f"{MEMORY_MB[1]} MB", MEMORY_MB[1],
         ACTIVE[1] * STACK_MB[1], f"{ACTIVE[1]} × {STACK_MB[1]} = {ACTIVE[1] * STACK_MB[1]} MB",
         TABLE),
        ("utilisation", "how busy a worker is", "0.6 %", (0.0055, 0.0065), busy,
         f"{RPS:,} × {POOL_US} µs / {WORKERS} = {busy:.2%}", STEADY),
        ("worker-most", "most requests a second for a worker", f"{WORKER_MOST:,}", WORKER_MOST,
         1e6 / POOL_US, f"1 s / {POOL_US} µs = {1e6 / POOL_US:,.0f}", STEADY),
    )  # fmt: skip
    return [_repeated(*row) for row in rows]
