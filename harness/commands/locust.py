"""`labrun locust`: a backend and the web page of Locust on it, until Ctrl-C; and `labrun
locust-worker`: load from this machine for a lab on another, trial after trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.core import checks
from harness.core.errors import LabError
from harness.drivers.locust.config import (
    ENGINE_BROKE,
    MASTER_LOST,
    NO_MASTER,
    TRIAL_OVER,
    WebConfig,
    WorkerConfig,
)
from harness.drivers.locust.driver import DistantWorker, LocustPage
from harness.drivers.remote import need_locust
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan, plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.session.settings import CompareOptions, make_settings
from harness.targets.arm import Arm
from harness.targets.processes import ServerProcess
from harness.targets.start import server_arguments
from harness.terminal.output import complain

_PORT = 5557


@dataclass(frozen=True, slots=True)
class LocustOptions:
    """The options as typed."""

    backend: str
    web_port: int
    user_class: str
    servers: Mapping[str, object]


def locust_command(options: LocustOptions) -> int:
    """Start both, say where they are, end both together; the exit status."""
    settings = make_settings(
        CompareOptions(
            backends=options.backend,
            driver="locust",
            user_class=options.user_class,
            servers=options.servers,
        )
    )
    if not 0 <= options.web_port <= 65_535:
        raise LabError(f"--web-port {options.web_port}: a port is 0 (any that is free) to 65535")
    raise_descriptor_limit()
    if len(settings.backends) != 1:
        raise LabError(f"{options.backend}: the page is of one server; name one backend")
    (backend,) = settings.backends
    arguments = server_arguments(Arm(backend, 0), settings, _shared(plan_cpus()))
    with ServerProcess(arguments) as server:
        ready = server.ready
        config = WebConfig(ready.host, ready.port, "127.0.0.1", ready.control_port,
                         options.web_port, options.user_class)  # fmt: skip
        with LocustPage(config) as page:
            print(f"{backend}: http://{ready.host}:{ready.port}")
            print(f"Locust: {page.url} (Ctrl-C ends both)", flush=True)
            status = _until_one_ends(server, page)
        server.drain()
    return status


def _shared(cpus: CpuPlan) -> CpuPlan:
    """No pinning: a person looks on, nothing is compared."""
    everyone = cpus.server | cpus.generator | cpus.observers
    return CpuPlan(everyone, everyone, everyone)


def _until_one_ends(server: ServerProcess, page: LocustPage) -> int:
    """130 after Ctrl-C; 2 when one of the two ended by itself."""
    try:
        while server.alive():
            page.wait_for_line(1.0)
    except KeyboardInterrupt:
        return 130
    except ProcessDied as error:
        complain(str(error))
        return 2
    complain(str(server.died()))
    return 2


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
        elif status == ENGINE_BROKE:
            print(f"{said}, which the lab was told; waiting for the next", flush=True)
        elif status == NO_MASTER and trials:
            print(f"no lab at {text} for {wait_s:g} s; {trials} trials in all", flush=True)
            return 0
        elif status == NO_MASTER:
            raise LabError(
                f"no lab at {text} within {wait_s:g} s; is labrun compare --expect-workers running "
                "there, and may this machine reach that port?"
            )
        else:
            raise LabError(f"the worker died (exit status {status}): {said}")
