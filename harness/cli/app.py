"""The command `labrun` itself, to which the modules beside this one add theirs; and the options
that several commands share: what each is, and why one would change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial, wraps
from importlib import metadata
from inspect import Parameter, signature
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperOption

from harness.core.errors import LabError
from harness.core.options import ASKED, CHOICES, as_typed, typed_as
from harness.session.settings import CompareOptions
from servers.options import CHOSEN

# By the fields of `CompareOptions`, which have type and default. Those of the servers are declared
# with the servers, and why one would change them with the settings.
_HELP = {
    "arms": "What to compare by a name of its own: 'wide=thread-pool --workers 64', with the "
    "options of labrun serve. Repeatable; after --backends, if any.",
    "design": "blocks: all servers alive, load in turns (default); trials: one after the other.",
    "rounds": "Each server afresh so often (blocks 8, trials 5, which is the least).",
    "duration_s": "Seconds of load for each in a round (blocks 3.5, else 5).",
    "block_s": "Seconds of load before it is the next one's turn (0.5).",
    "precision": "Go on until intervals are that narrow: p99=10%,cpu=2%. Blocks only.",
    "most": "How long it may go on for that, as 90s or 10m (10m).",
    "driver": "open-loop; closed-loop or locust: what most tools leave out.",
    "users": "Locust's users (100), who share the rate: --clients.",
    "user_class": "Locust: socket, or fast (FastHttpUser): what does its client cost?",
    "locust_workers": "Locust: processes that the users are in; one is the limit?",
    "expect_workers": "Wait for so many labrun locust-worker of other machines.",
    "master": "Where those find this lab (0.0.0.0:5557, every address).",
    "worker_wait_s": "Seconds to wait for them (60).",
    "target": "HOST:PORT of a labrun serve elsewhere; with commas, one for each backend.",
    "control": "HOST:PORT of its control port, or of each; the token: LABRUN_TOKEN.",
    "traced": "Keep every request's thread and steps, to look at with labrun replay; such a run "
    "compares nothing.",
    "plot": "Draw the response times in the terminal too.",
    "live": "Show the run on a page in the browser too, on this machine alone; renewed between "
    "trials.",
    "max_loss": "METRIC=10%: exit 1 if a contender is worse than the baseline by more. Repeatable.",
    "least": "METRIC=0.99: exit 1 below. Repeatable.",
    "bare": "Record and rows alone; labrun report draws them later.",
    "warmup_s": "Seconds of load before, thrown away: first requests are slow.",
    "clients": "Clients that share the rate, each with a rate limit and ports of its own.",
    "timeout_s": "Seconds until a client gives up; longer shows a queue that shorter calls "
    "failure.",
    "arrivals": "poisson: independent clients; constant: equal gaps.",
    "slow_clients": "So many more that send, or read, a byte a second: who suffers beside them?",
    "idle_connections": "So many more that are open and silent: memory and threads of each.",
    "python": "Run the servers under this Python: 3.13, or a build without the GIL.",
    "pythons": "Compare interpreters, by path, name or version: 3.11,3.13. Each runs each backend "
    "(thread-pool, if none is named).",
    "server_cpus": "CPUs of the servers, as 0, 0-3 or 0,2 (default: all but the generator's).",
    "generators": "Processes that send, each for its share of the clients, on CPUs of their own "
    "where there are enough.",
    "generator_cpus": "CPUs of the generator; one that the server has too makes times worse.",
    "seed": "Equal seeds give equal schedules.",
    "out": "Where the run's folder goes.",
    "name": "The end of the folder's name.",
    "json": "Write the record there too; - is standard output, alone.",
    "server": "Any server by its command: {port} in it, or PORT in its environment, is a free one. "
    "NAME alone: a table of labrun.toml. Repeatable.",
    "url": "A server that runs already: what is seen of it from outside is its answers alone.",
    "servers_file": "A file with a table for each server (labrun.toml).",
    "cwd": "Where the commands of --server run.",
    "env": "What they have in their environment beside the lab's. Repeatable.",
    "ready": "What they must answer before load: GET:/healthz (default: the port accepts).",
    "ready_timeout_s": "Seconds that they may take for it (20).",
    "request": "What is sent: 'GET /' (default: the document's POST /metrics).",
    "header": "A header of it, 'Accept: */*'. Repeatable.",
    "body": "Its body, or @FILE (default: a metric where the method has a body).",
    "expect": "The statuses that are ok, 200,204 (202).",
}
_METAVARS = {
    "arms": "'NAME=BACKEND ...'", "max_loss": "M=SHARE", "least": "M=VALUE",
    "server": "'NAME=COMMAND'", "url": "NAME=http://HOST:PORT", "servers_file": "FILE",
    "env": "NAME=VALUE", "request": "'METHOD PATH'", "pythons": "A,B",
}  # fmt: skip
_FLAGS = {"traced": "--trace", "servers_file": "--servers", "arms": "--arm", "least": "--min"}
# How long, in which turns, and by whom load is sent.
DESIGN = ("design", "rounds", "duration_s", "block_s")
DRIVING = (
    "driver", "users", "user_class", "locust_workers", "expect_workers", "master", "worker_wait_s",
    "target", "control",
)  # fmt: skip
# Servers of any kind, and what is sent to them.
ANY_SERVER = (
    "server", "url", "servers_file", "cwd", "env", "ready", "ready_timeout_s",
    "request", "header", "body", "expect",
)  # fmt: skip
BOTH, POOL = "thread-per-request,thread-pool", "thread-pool"
_TYPES = get_type_hints(CompareOptions)
_FIELDS = {field.name: field for field in fields(CompareOptions)}
RUN = (
    "clients",
    "timeout_s",
    "arrivals",
    "slow_clients",
    "idle_connections",
    *ASKED,
    "python",
    "server_cpus",
    "generator_cpus",
    "generators",
    "seed",
    "out",
    "name",
    "json",
)
Budget = Annotated[
    float,
    typer.Option(help="Seconds that the whole may take; 15 are kept for what follows the trials."),
]


class OnceCommand(TyperCommand):
    """A command whose options are given once, but for those that are lists: of two values one
    would be silently lost."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, times in Counter(given).items():
            alone = isinstance(option, TyperOption) and not (option.multiple or option.is_eager)
            if alone and times > 1:
                raise LabError(f"{option.opts[0]} is given more than once; give it once")
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="labrun",
    help="Thread per request or thread pool? Two servers, one open-loop load generator, and "
    "figures that can be defended.\n\nexample: labrun compare --rps 2000",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
command = partial(app.command, cls=OnceCommand)


def _version(asked: bool) -> None:
    if asked:
        print(f"labrun {metadata.version('metricstream-lab')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def asks(
    *names: str, help: Mapping[str, str] | None = None, **usual: object
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, where its parameter `typed` stands: it gets what was typed, as
    `CompareOptions` takes it. `usual` and `help`: of this command, where they are others."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**given: Any) -> None:
            typed = {name: given.pop(name) for name in names}
            servers = {name: typed.pop(name) for name in names if name in CHOSEN}
            function(**given, typed=typed | ({"servers": servers} if servers else {}))

        told = signature(function, eval_str=True)
        own = list(told.parameters.values())
        at = next(place for place, parameter in enumerate(own) if parameter.name == "typed")
        own[at : at + 1] = [_parameter(name, usual, help or {}) for name in names]
        command.__signature__ = told.replace(parameters=own)  # type: ignore[attr-defined]
        return command

    return add


def backends_of(backends: str | None, typed: Mapping[str, Any], others: bool = False) -> str:
    """The backends as typed; without, both built-in ones, or the pool alone where interpreters are
    compared, unless servers of any kind (or `others`) are named."""
    named = others or any(typed.get(name) for name in ("server", "url", "servers_file"))
    usual = POOL if typed.get("pythons") else BOTH
    return backends or ("" if named else usual)


def _parameter(name: str, usual: Mapping[str, object], told: Mapping[str, str]) -> Parameter:
    """One option as Typer reads it."""
    kind: Any
    if name in CHOSEN:
        flag, kind, default = CHOSEN[name].flag, typed_as(name), as_typed(name)
        kind, help = kind if default is not None else kind | None, CHOICES[name].help
    else:
        plain = "--" + name.removesuffix("_s").replace("_", "-")
        flag, kind, default = _FLAGS.get(name, plain), _TYPES[name], _FIELDS[name].default
        kind, help = kind if usual.get(name, default) is not None else kind | None, _HELP[name]
    return Parameter(
        name,
        Parameter.POSITIONAL_OR_KEYWORD,
        default=usual.get(name, default),
        annotation=Annotated[
            kind, typer.Option(flag, help=told.get(name, help), metavar=_METAVARS.get(name))
        ],
    )
