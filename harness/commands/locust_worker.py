"""`labrun locust-worker`: users on this machine for a lab on another, trial after trial."""

from __future__ import annotations

from harness.core import checks
from harness.core.errors import LabError
from harness.drivers.locust.config import MASTER_LOST, NO_MASTER, TRIAL_OVER, WorkerConfig
from harness.drivers.locust.driver import DistantWorker, need_locust

_PORT = 5557


def worker_command(master: str, wait_s: float) -> int:
    """Work for whatever lab is at `master` until none has come for `wait_s` seconds; the exit
    status. Raises `LabError` when none ever came, or Locust broke."""
    need_locust()
    checks.between("--wait", wait_s, 1, 86_400)
    text = master if ":" in master else f"{master}:{_PORT}"
    host, port = checks.host_and_port("--master", text)
    config, trials = WorkerConfig(host, port, wait_s), 0
    print(f"waiting for a lab at {text} (Ctrl-C ends this)", flush=True)
    while True:
        with DistantWorker(config) as worker:
            status, said = worker.until_its_end()
        if status == TRIAL_OVER:
            trials += 1
            print(f"trial {trials} is over", flush=True)
        elif status == MASTER_LOST:
            print("the lab fell silent in mid-trial; waiting for the next", flush=True)
        elif status == NO_MASTER and trials:
            print(f"no lab at {text} for {wait_s:g} s; {trials} trials in all", flush=True)
            return 0
        elif status == NO_MASTER:
            raise LabError(
                f"no lab at {text} within {wait_s:g} s; is labrun compare --driver locust "
                "--expect-workers running there, and may this machine reach that port?"
            )
        else:
            raise LabError(f"the Locust worker died (exit status {status}): {said}")
