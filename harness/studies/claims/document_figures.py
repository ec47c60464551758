"""The design document's figures, and what it takes for two of them to agree."""

from __future__ import annotations

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
