"""Jupyter kernels, each a process of its own, that have imported the lab before they begin.

A process imports it once (`python warm_kernel.py serve SOCKET`). What Jupyter starts as a kernel
(`python warm_kernel.py SOCKET CONNECTION_FILE`) asks it for a copy of itself, which becomes the
kernel, in the folder and with the environment of the one who asks, who ends as it does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def warm_kernels(folder: Path) -> Iterator[Path]:
    """A folder for `JUPYTER_PATH` within which `python3` is such a kernel."""
    address, here = str(folder / "socket"), str(Path(__file__))
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-S", "-P", here, address, "{connection_file}"]
    told = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(told), "utf-8")
    with subprocess.Popen(
        [sys.executable, "-P", here, "serve", address],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield folder
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # with kernels that are left


def _serve(address: str) -> None:
    """Become a kernel for each who asks. Ends by a signal."""
    import ipykernel.ipkernel
    import ipykernel.kernelapp
    import matplotlib_inline.backend_inline  # noqa: F401

    import harness.lab  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"ready\n")
        while True:
            asker, _ = listener.accept()
            asked = json.loads(asker.makefile().readline())
            if os.fork() == 0:
                listener.close()
                os.dup2(2, 1)
                os.chdir(asked["folder"])
                os.environ.clear()
                # A kernel ends when its parent has, which is this process.
                os.environ.update(asked["environment"], JPY_PARENT_PID=str(os.getppid()))
                sys.argv = ["ipykernel_launcher", "-f", asked["file"]]
                ipykernel.kernelapp.launch_new_instance()
                os._exit(0)
            asker.close()
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # those that have ended


def _ask(address: str, file: str) -> None:
    """Have a kernel made, and wait for its end."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        asked = {"folder": os.getcwd(), "environment": dict(os.environ), "file": file}
        server.sendall(json.dumps(asked).encode() + b"\n")
        server.recv(1)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    else:
        _ask(sys.argv[1], sys.argv[2])
