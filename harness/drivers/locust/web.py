"""Locust's web page on a server of ours: `python -m harness.drivers.locust.web`.

One JSON line on standard input says where the server is (`WebConfig`); one on standard output says
where the page is. Below Locust's own charts stand the server's, which only it can know: threads,
queue, context switches, memory, read from its control port each second.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

# What follows must find the patched modules.
import os  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
from collections import deque  # noqa: E402
from importlib import resources  # noqa: E402

import gevent  # noqa: E402
import msgspec  # noqa: E402
from flask import Flask, Response, request  # noqa: E402
from gevent.os import tp_read  # noqa: E402
from locust.env import Environment  # noqa: E402

from harness.drivers.locust.config import WebConfig, WebReady  # noqa: E402
from harness.drivers.locust.locustfile import MetricStreamSocketUser, MetricStreamUser  # noqa: E402
from harness.targets.control_client import ControlClient, ControlLost  # noqa: E402
from servers.report import Report  # noqa: E402

_KEPT = 300  # looks, one a second
_LOOK_S = 1.0


class Look(msgspec.Struct, frozen=True):
    """The server at one moment. None: this backend has no such thing."""

    t_s: float
    threads_active: int
    threads_created_per_s: float
    queue_depth: int | None
    context_switches_per_s: float
    rss_mib: float


class ServerWatch:
    """A look at the control port each second, for as long as it answers."""

    def __init__(self, host: str, port: int) -> None:
        self.looks: deque[Look] = deque(maxlen=_KEPT)
        self.lost: str | None = None
        self._address = (host, port)

    def run(self) -> None:
        """For a greenlet of its own."""
        with ControlClient(*self._address) as control:
            before: Report | None = None
            while True:
                try:
                    now = control.report()
                except ControlLost as error:
                    self.lost = str(error)
                    return
                if before is not None:
                    self.looks.append(_look(before, now))
                before = now
                gevent.sleep(_LOOK_S)


def _look(before: Report, now: Report) -> Look:
    elapsed_s = (now.monotonic_ns - before.monotonic_ns) / 1e9
    old, new = before.process, now.process
    switches = (
        new.voluntary_switches + new.involuntary_switches
        - old.voluntary_switches - old.involuntary_switches
    )  # fmt: skip
    created = now.gauges.threads_created - before.gauges.threads_created
    return Look(
        t_s=now.monotonic_ns / 1e9,
        threads_active=now.gauges.threads_active,
        threads_created_per_s=created / elapsed_s,
        queue_depth=now.gauges.queue_depth,
        context_switches_per_s=switches / elapsed_s,
        rss_mib=new.rss_bytes / 2**20,
    )


def add_charts(environment: Environment, watch: ServerWatch) -> None:
    """The server's charts, by the extension points of Locust's page: routes, and what is added to
    the page when it is sent."""
    page = environment.web_ui
    assert page is not None
    app: Flask | None = page.app
    assert app is not None

    def figures() -> Response:
        told = {"looks": list(watch.looks), "lost": watch.lost}
        return Response(msgspec.json.encode(told), mimetype="application/json")

    def script() -> Response:
        text = (
            resources.files("harness.drivers.locust")
            .joinpath("locust_charts.js")
            .read_text("utf-8")
        )
        return Response(text, mimetype="text/javascript")

    def with_charts(response: Response) -> Response:
        if request.path == "/" and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            added = '<script defer src="/server/charts.js"></script></body>'
            response.set_data(page.replace("</body>", added))
        return response

    app.add_url_rule("/server/figures", view_func=figures)
    app.add_url_rule("/server/charts.js", view_func=script)
    app.after_request(with_charts)


def free_port(wanted: int) -> int:
    """The port of the page: the wanted one, or one that is free. Raises OSError when taken."""
    with socket.create_server(("127.0.0.1", wanted)) as probe:
        port: int = probe.getsockname()[1]
    return port


def main() -> int:
    """Until standard input ends; exit status 1 with a sentence when there can be no page."""
    line = sys.stdin.buffer.readline()
    config = msgspec.json.decode(line, type=WebConfig)
    try:
        port = free_port(config.web_port)
    except OSError as error:
        print(
            f"port {config.web_port}: {error.strerror}; name another (--web-port)", file=sys.stderr
        )
        return 1
    host = f"http://{config.host}:{config.port}"
    MetricStreamUser.host = MetricStreamSocketUser.host = host
    chosen = MetricStreamUser if config.user_class == "fast" else MetricStreamSocketUser
    environment = Environment(user_classes=[chosen], host=host)
    environment.create_local_runner()
    page = environment.create_web_ui("127.0.0.1", port, delayed_start=True)
    watch = ServerWatch(config.control_host, config.control_port)
    add_charts(environment, watch)
    page.start()  # type: ignore[no-untyped-call]
    gevent.spawn(watch.run)
    sys.stdout.write(msgspec.json.encode(WebReady(f"http://127.0.0.1:{port}")).decode() + "\n")
    sys.stdout.flush()
    while tp_read(0, 65_536):
        pass
    assert environment.runner is not None
    environment.runner.quit()
    os._exit(0)  # the page's server has no end of its own


if __name__ == "__main__":
    sys.exit(main())
