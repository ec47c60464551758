"""The document against itself: what follows from its own figures, without a measurement.

Each check takes figures that the document states (`document_figures`), derives another from
them, and asks whether it is the one that the document states in its place. Everything that
follows must lie within what is stated, give or take 5 %, since the document rounds.

Little's law (Little 1961, "A proof for the queuing formula L = lambda W"): over any long stretch,
mean number in a system = rate of arrivals x mean time in it. It needs no assumption about
schedulers, queues or machines, which is why it can contradict a drawing.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.studies.claims.document_figures import (
    ACTIVE,
    ACTIVE_STORM,
    ANALOGY,
    CHEFS,
    COOK_MIN,
    CREATE_US,
    DESTROY_US,
    DRAWING,
    EXPECTED,
    FIRE_MIN,
    FLOW,
    HIRE_MIN,
    LIFE_MS,
    MAX_RPS,
    MEDIAN_US,
    MEMORY_MB,
    POOL_MAX_RPS,
    POOL_MEMORY_MB,
    POOL_MOST,
    POOL_SUCCESS,
    POOL_SWITCHES,
    POOL_US,
    QUEUE_DEPTH,
    ROUNDING,
    RPS,
    STEADY,
    STORM,
    SUCCESS,
    TABLE,
    THREAD_US,
    WAIT_US,
    WAITING,
    WORK_US,
    WORKER_MOST,
    WORKERS,
    agrees,
    little,
    sums,
)
from harness.studies.claims.records import Check


def checks() -> list[Check]:
    """Every check: first what contradicts, then what adds up."""
    found = [check() for check in _CHECKS] + sums()
    return sorted(found, key=lambda check: check.consistent)


def _little_threads() -> Check:
    threads = little(RPS, THREAD_US)
    return Check(
        id="little-threads",
        title="threads alive at 2,000 RPS",
        stated=f"{ACTIVE[0]} to {ACTIVE[1]} threads at any moment",
        follows=f"{threads:.1f} threads",
        consistent=agrees(threads, ACTIVE),
        explanation=(
            f"By Little's law {RPS:,} requests a second that take {THREAD_US} µs each keep "
            f"{threads:.2f} threads alive on average. The {ACTIVE[0]} to {ACTIVE[1]} of the "
            f"drawing are {ACTIVE[0] / threads:.0f} to {ACTIVE[1] / threads:.0f} times as many."
        ),
        section=DRAWING,
    )


def _threads_life() -> Check:
    life = (ACTIVE[0] / RPS * 1e3, ACTIVE[1] / RPS * 1e3)
    return Check(
        id="threads-life",
        title="how long 40 to 100 threads live",
        stated=f"a request takes {THREAD_US} µs",
        follows=f"a thread lives {life[0]:.0f} to {life[1]:.0f} ms",
        consistent=agrees((life[0] * 1e3, life[1] * 1e3), THREAD_US),
        explanation=(
            f"{ACTIVE[0]} to {ACTIVE[1]} threads at {RPS:,} a second live {life[0]:.0f} to "
            f"{life[1]:.0f} ms each, by Little's law read the other way. The timeline accounts for "
            f"{THREAD_US} µs of that, and says nothing of the other "
            f"{1 - THREAD_US / (life[1] * 1e3):.0%} or so."
        ),
        section=DRAWING,
    )


def _life_range() -> Check:
    threads = (little(RPS, LIFE_MS[0] * 1e3), little(RPS, LIFE_MS[1] * 1e3))
    return Check(
        id="life-threads",
        title="threads alive if each lives 30 to 50 ms",
        stated=f"{ACTIVE_STORM[0]} to {ACTIVE_STORM[1]} active in the storm",
        follows=f"{threads[0]:.0f} to {threads[1]:.0f} threads",
        consistent=agrees(threads, ACTIVE_STORM),
        explanation=(
            f"Threads that live {LIFE_MS[0]} to {LIFE_MS[1]} ms are {threads[0]:.0f} to "
            f"{threads[1]:.0f} at {RPS:,} a second. The storm shows {ACTIVE_STORM[0]} to "
            f"{ACTIVE_STORM[1]} and the table {ACTIVE[0]} to {ACTIVE[1]}, three ranges for one "
            "number."
        ),
        section=STORM,
    )


def _pool_of_waiters() -> Check:
    served = (WORKERS / LIFE_MS[1] * 1e3, WORKERS / LIFE_MS[0] * 1e3)
    return Check(
        id="pool-of-waiters",
        title="what 16 workers serve if a request takes 30 to 50 ms",
        stated=f"{RPS:,} RPS at {POOL_SUCCESS[RPS]:.0%} success or more",
        follows=f"{served[0]:.0f} to {served[1]:.0f} RPS",
        consistent=served[1] >= RPS * POOL_SUCCESS[RPS],
        explanation=(
            f"If a request really holds its thread for {LIFE_MS[0]} to {LIFE_MS[1]} ms, "
            f"{WORKERS} workers serve {served[0]:.0f} to {served[1]:.0f} a second. The pool would "
            f"then fail {1 - served[1] / RPS:.0%} or more at {RPS:,} RPS, where one thread for "
            "each request would not."
        ),
        section=DRAWING,
    )


def _median_life() -> Check:
    threads = little(RPS, MEDIAN_US)
    return Check(
        id="median-in-flight",
        title="requests in flight at a median of 2.2 ms",
        stated=f"{ACTIVE[0]} to {ACTIVE[1]} threads at any moment",
        follows=f"about {threads:.1f} in flight",
        consistent=agrees(threads, ACTIVE),
        explanation=(
            f"A latency of {MEDIAN_US / 1e3:g} ms keeps about {threads:.1f} requests in flight at "
            f"{RPS:,} RPS. So the table's latency fits neither its own {ACTIVE[0]} to {ACTIVE[1]} "
            f"threads nor the timeline's {THREAD_US} µs."
        ),
        section=TABLE,
    )


def _median_survivors() -> Check:
    return Check(
        id="median-of-survivors",
        title="the median when half of the requests fail",
        stated=f"median {MEDIAN_US / 1e3:g} ms",
        follows=f"{1 - SUCCESS[RPS]:.0%} of the requests have no latency",
        consistent=SUCCESS[RPS] > 0.5,
        explanation=(
            f"With {SUCCESS[RPS]:.0%} success the median over all requests is no latency but the "
            "timeout. The stated one can only be that of the requests that were answered, which "
            "flatters the side that fails."
        ),
        section=TABLE,
    )


def _cpu_needed() -> Check:
    cpus = little(RPS, THREAD_US)
    rate = WORKERS / THREAD_US * 1e6
    return Check(
        id="same-machine",
        title="thread per request on the machine that the pool is given",
        stated=f"about {MAX_RPS:,} RPS at most",
        follows=f"{rate:,.0f} RPS",
        consistent=agrees(rate, MAX_RPS),
        explanation=(
            f"{THREAD_US} µs × {RPS:,} is {cpus:.2f} CPUs, so the stated limit is that of a "
            f"machine with {cpus:.2f} CPUs. The pool's {POOL_MOST:,} RPS need "
            f"{little(POOL_MOST, POOL_US):.0f}, and with as many thread per request would serve "
            f"{rate:,.0f}."
        ),
        section=TABLE,
    )


def _goodput() -> Check:
    good = {rps: rps * share for rps, share in SUCCESS.items()}
    return Check(
        id="goodput",
        title="answers a second as the load grows",
        stated=f"{good[2000]:,.0f} a second at {2000:,} RPS",
        follows=f"{good[5000]:,.0f} a second at {5000:,} RPS",
        consistent=good[2000] >= min(2000, good[5000]) / ROUNDING,
        explanation=(
            f"{SUCCESS[5000]:.0%} of {5000:,} is {good[5000]:,.0f} answers a second, so that "
            f"server can answer all of {2000:,}. Yet at {2000:,} RPS it is said to answer "
            f"{SUCCESS[2000]:.0%}, or {good[2000]:,.0f} a second."
        ),
        section=EXPECTED,
    )


def _pool_failures() -> Check:
    rps = 10_000
    busy = rps * POOL_US / 1e6 / WORKERS
    return Check(
        id="idle-pool-fails",
        title="failures of a pool that is nearly idle",
        stated=f"{POOL_SUCCESS[rps]:.0%} success or more at {rps:,} RPS",
        follows=f"workers {busy:.1%} busy, half of the stated maximum",
        consistent=POOL_SUCCESS[rps] >= 0.99,
        explanation=(
            f"At {rps:,} RPS the workers are {busy:.1%} busy by the document's own reckoning, and "
            f"the pool is said to take {POOL_MAX_RPS:,} and more. Nothing in it explains why up to "
            f"{1 - POOL_SUCCESS[rps]:.0%} should fail at half of that."
        ),
        section=EXPECTED,
    )


def _pool_capacity() -> Check:
    share = POOL_MAX_RPS / POOL_MOST
    return Check(
        id="two-capacities",
        title="the pool's two capacities",
        stated=f"{POOL_MAX_RPS:,}+ RPS",
        follows=f"{WORKERS} × {WORKER_MOST:,} = {WORKERS * WORKER_MOST:,} RPS",
        consistent=agrees(WORKERS * WORKER_MOST, POOL_MAX_RPS),
        explanation=(
            f"{WORKERS} × {WORKER_MOST:,} is {WORKERS * WORKER_MOST:,} only if each worker has a "
            f"CPU of its own and neither the acceptor nor the kernel takes any. The table's "
            f"{POOL_MAX_RPS:,} is {share:.0%} of it, without a word on what takes the rest."
        ),
        section=STEADY,
    )


def _storm_queue() -> Check:
    inside = (ACTIVE_STORM[0] + WAITING, ACTIVE_STORM[1] + WAITING)
    time_ms = (inside[0] / RPS * 1e3, inside[1] / RPS * 1e3)
    return Check(
        id="storm-queue",
        title="time in a server with 140 waiting and 40 to 60 active",
        stated=f"threads live {LIFE_MS[0]} to {LIFE_MS[1]} ms",
        follows=f"{time_ms[0]:.0f} to {time_ms[1]:.0f} ms each",
        consistent=agrees(time_ms, LIFE_MS),
        explanation=(
            f"{inside[0]} to {inside[1]} threads in the server at {RPS:,} a second are there "
            f"{time_ms[0]:.0f} to {time_ms[1]:.0f} ms each: a fourth figure beside {THREAD_US} µs, "
            f"{MEDIAN_US / 1e3:g} ms and {LIFE_MS[0]} to {LIFE_MS[1]} ms. None of them comes near "
            "a timeout, so none explains a failure rate of "
            f"{1 - SUCCESS[RPS]:.0%}; and thread per request has no queue to wait in."
        ),
        section=STORM,
    )


def _pool_switches() -> Check:
    busy = RPS * POOL_US / 1e6 / WORKERS
    return Check(
        id="sleeping-workers",
        title="context switches of workers that sleep between requests",
        stated=f"about {POOL_SWITCHES} a second",
        follows=f"about {RPS:,} a second or more",
        consistent=agrees(float(RPS), POOL_SWITCHES),
        explanation=(
            f"Workers that are {busy:.1%} busy sleep before an empty queue, so nearly each of the "
            f"{RPS:,} requests a second must wake one, which is a context switch. "
            f"{POOL_SWITCHES} a second would be one for every {RPS / POOL_SWITCHES:.0f} requests, "
            "possible only if workers hardly ever sleep."
        ),
        section=TABLE,
    )


def _queue_wait() -> Check:
    wait_ms = QUEUE_DEPTH[1] / RPS * 1e3
    waiting = little(RPS, WAIT_US[1])
    return Check(
        id="queue-wait",
        title="connections that wait if each waits 0 to 10 µs",
        stated=f"queue depth {QUEUE_DEPTH[0]} to {QUEUE_DEPTH[1]}",
        follows=f"{waiting:.2f} on average",
        consistent=waiting >= QUEUE_DEPTH[1] / 2 / ROUNDING,
        explanation=(
            f"Waiting {WAIT_US[1]} µs at {RPS:,} a second leaves {waiting:.2f} connections in the "
            f"queue on average, by Little's law. A queue of {QUEUE_DEPTH[1]} would mean a wait of "
            f"{wait_ms:.0f} ms, {wait_ms * 1e3 / POOL_US:.0f} times the stated latency, unless it "
            "is a rare peak."
        ),
        section=STEADY,
    )


def _best_case(id_: str, title: str, active: tuple[float, float], pool: float, unit: str) -> Check:
    low, high = active[0] / pool, active[1] / pool
    return Check(
        id=id_,
        title=title,
        stated="6×",
        follows=f"{low:.3g}× to {high:.3g}×",
        consistent=agrees((low, high), 6.0),
        explanation=(
            f"{active[0]:g} to {active[1]:g}{unit} against {pool:g}{unit} is {low:.3g} to "
            f"{high:.3g} times. The table takes the upper end of one side alone."
        ),
        section=TABLE,
    )


def _response_order() -> Check:
    before = CREATE_US + WORK_US
    ratio, stated = before / POOL_US, THREAD_US / POOL_US
    return Check(
        id="response-order",
        title="what the client waits for",
        stated=f"{THREAD_US} µs, {stated:.1f}× the pool's",
        follows=f"{before} µs, {ratio:.1f}× the pool's",
        consistent=agrees(ratio, stated),
        explanation=(
            "The timeline writes the response before the thread is destroyed, the flow chart "
            f"after it. If the timeline is right, no client waits for the {DESTROY_US} µs, and the "
            f"document's own figures give {ratio:.1f}×, not {stated:.1f}×."
        ),
        section=FLOW,
    )


def _chefs() -> Check:
    minutes = HIRE_MIN + COOK_MIN + FIRE_MIN
    one, pool = 60 / minutes, CHEFS * 60 / COOK_MIN
    fair = CHEFS * one
    return Check(
        id="chefs",
        title="one chef against sixteen",
        stated=f"3 customers an hour against {pool:.0f}",
        follows=f"{fair:.0f} against {pool:.0f} with {CHEFS} on both sides",
        consistent=agrees(one, fair),
        explanation=(
            f"The restaurant that hires for each dish is given one chef at a time, the other "
            f"{CHEFS}: {one:.1f} customers an hour against {pool:.0f}. With {CHEFS} on both sides "
            f"it is {fair:.0f} against {pool:.0f}, or {pool / fair:.0f}× instead of "
            f"{pool / one:.0f}×."
        ),
        section=ANALOGY,
    )


_CHECKS: tuple[Callable[[], Check], ...] = (
    _little_threads,
    _threads_life,
    _life_range,
    _pool_of_waiters,
    _chefs,
    _cpu_needed,
    _median_life,
    _median_survivors,
    _goodput,
    _pool_failures,
    _pool_capacity,
    _storm_queue,
    _pool_switches,
    _queue_wait,
    _response_order,
    lambda: _best_case("threads-6x", "how many fewer threads", ACTIVE, WORKERS, ""),
    lambda: _best_case("memory-6x", "how much less memory", MEMORY_MB, POOL_MEMORY_MB, " MB"),
)
