"""What a thread costs in C++ is measured by a program that is built for it."""

from __future__ import annotations

import os

import pytest

from harness.core.errors import LabError
from harness.machine.costs import measure_native_costs
from tests.support.serving import needs_compiler


@needs_compiler
def test_costs_have_an_interval_and_are_of_the_stack_that_was_asked_for() -> None:
    cpus = frozenset({min(os.sched_getaffinity(0))})
    found = measure_native_costs(512 << 10, False, cpus, 16)
    costs = found.thread_costs
    assert (costs.stack_size_bytes, costs.lock_stacks, costs.cpus) == (512 << 10, False, [*cpus])
    for cost in (costs.create_us, costs.start_us, costs.end_us, costs.life_cpu_us,
                 costs.fresh_start_us, costs.end_p99_us, costs.create_cpu_us):  # fmt: skip
        assert cost is not None
        assert cost.ci_low is not None
        assert 0 < cost.least <= cost.ci_low <= cost.median
    assert len(found.enqueue_us) == 9
    assert min(found.enqueue_us) > 0


def test_without_a_compiler_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(LabError, match=r"there is no C\+\+ compiler here \(no-such-compiler\)"):
        measure_native_costs(512 << 10, False, frozenset({0}), 16)
