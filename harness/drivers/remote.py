"""Workers of other machines, whoever drives them: how many there are, and where they find the lab.
Their messages are Locust's, whose master waits for them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from harness.core.checks import between, host_and_port
from harness.core.errors import LabError

if TYPE_CHECKING:
    from harness.drivers.driver import LoadOptions

OPTIONS = ("expect_workers", "master", "worker_wait_s")
MASTER = "0.0.0.0:5557"  # Locust's own port
WORKER_WAIT_S = 60.0


def need_locust() -> None:
    """Raise `LabError` where Locust is not installed. Importing it here would patch the lab."""
    if find_spec("locust") is None:
        raise LabError("Locust is not installed in this Python; install it: pip install locust")


def expected_workers(options: LoadOptions) -> dict[str, Any]:
    """Settings of workers of other machines; none where none are expected. Raises `LabError` where
    they cannot be waited for."""
    if options.expect_workers is None:
        if options.master is not None or options.worker_wait_s is not None:
            raise LabError("--master and --worker-wait are for --expect-workers; add it")
        return {}
    need_locust()
    master, wait_s = options.master or MASTER, options.worker_wait_s or WORKER_WAIT_S
    between("--expect-workers", options.expect_workers, 1, 1000)
    host_and_port("--master", master)
    between("--worker-wait", wait_s, 1, 3600)
    if options.target is None:
        raise LabError(
            "--expect-workers needs one of the lab's servers where other machines can reach it: "
            "--target and --control"
        )
    return {"expect_workers": options.expect_workers, "master": master, "worker_wait_s": wait_s}
