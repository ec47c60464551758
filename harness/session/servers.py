"""Servers of any kind: `--server`, `--url` and the tables of a file, checked."""

from __future__ import annotations

import difflib
import shlex
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from harness.core import checks
from harness.core.errors import LabError
from harness.core.foreign import short
from harness.core.record import ServerSettings
from harness.core.text import visible
from harness.peers import PEERS, command_of, is_installed
from harness.session.request import RequestTyped

SERVERS_FILE = "labrun.toml"
_LIKE = "write it like --server 'app=gunicorn -b 127.0.0.1:{port} app:app'"
_LIKE_URL = "write it like --url app=http://127.0.0.1:9000"
_READY_S = 20.0


@dataclass(frozen=True, slots=True)
class ServersTyped:
    """Servers of any kind as typed. `folder`, `environment`, `ready` and `ready_timeout_s`
    are of each `server` that was typed with its command."""

    server: Sequence[str] = ()
    url: Sequence[str] = ()
    file: str | None = None
    folder: str | None = None
    environment: Sequence[str] = ()
    ready: str | None = None
    ready_timeout_s: float | None = None


class ServersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that `labrun.toml` may hold."""

    servers: dict[str, ServerTable] = {}
    request: RequestTable | None = None


class ServerTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[servers.NAME]`."""

    command: str | None = None
    url: str | None = None
    cwd: str | None = None
    env: dict[str, str] = {}
    ready: str | None = None
    ready_timeout: float = _READY_S


class RequestTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[request]`, with the options' names."""

    request: str | None = None
    header: list[str] = []
    body: str | None = None
    expect: str | None = None


def read_servers(file: Path) -> ServersFile:
    """The tables of a file. Raises `LabError`."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabError(f"there is no file {file}; name one with a table for each server") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"{file} cannot be read as TOML: {short(error)}; mend it") from error
    _known(file, "", data, ServersFile)
    tables = data.get("servers")
    for name, table in tables.items() if isinstance(tables, dict) else ():
        _known(file, f" of [servers.{name}]", table, ServerTable)
    _known(file, " of [request]", data.get("request"), RequestTable)
    try:
        return msgspec.convert(data, ServersFile)
    except msgspec.ValidationError as error:
        raise LabError(f"{file}: {short(error)}; mend it") from error


def _known(file: Path, where: str, table: object, kind: type[msgspec.Struct]) -> None:
    """Raise `LabError` for a key that there is not, with the one that is near."""
    if not isinstance(table, dict):
        return
    for key in table:
        names = [field.encode_name for field in msgspec.structs.fields(kind)]
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.4) or names
            raise LabError(
                f"{file}: the key {visible(key)!r}{where} is not known; "
                f"did you mean {' or '.join(near)}?"
            )


def parse_servers(typed: ServersTyped, taken: Collection[str]) -> list[ServerSettings]:
    """The servers that were asked for, in the order of the command line. `taken`: the names of the
    other arms. Raises `LabError`."""
    in_file = _of_file(typed)
    found = [_of_command(text, typed, in_file) for text in typed.server]
    found += [_of_url(text) for text in typed.url]
    if typed.file is not None and not typed.server and not typed.url:
        found = list(in_file.values())
        if not found:
            raise LabError(f"{typed.file} has no table [servers.NAME]; write one for each server")
    _only_of_commands(typed)
    names = list(taken)
    for server in found:
        if server.name in names:
            raise LabError(f"two would have the name {server.name}; give each one of its own")
        names.append(server.name)
    return found


def request_table(typed: ServersTyped) -> RequestTyped | None:
    """The request as the file has it, where one was read. Raises `LabError`."""
    file = _file_of(typed)
    table = None if file is None else read_servers(file).request
    if table is None:
        return None
    return RequestTyped(table.request, tuple(table.header), table.body, table.expect)


def _file_of(typed: ServersTyped) -> Path | None:
    """The file that was named, or that is there for a name that was typed; None without."""
    named = any("=" not in text for text in typed.server)
    if typed.file is None and not (named and Path(SERVERS_FILE).exists()):
        return None
    return Path(typed.file or SERVERS_FILE)


def _of_file(typed: ServersTyped) -> dict[str, ServerSettings]:
    """The servers that the file has."""
    file = _file_of(typed)
    if file is None:
        return {}
    return {server.name: server for server in servers_of(file)}


def servers_of(file: Path) -> list[ServerSettings]:
    """The servers of a file's tables; none where there is no `labrun.toml`. Raises `LabError`."""
    if file == Path(SERVERS_FILE) and not file.exists():
        return []
    return [_of_table(name, table, file) for name, table in read_servers(file).servers.items()]


def _of_table(name: str, table: ServerTable, file: Path) -> ServerSettings:
    where = f"{file}: [servers.{visible(name, keep='')}]"
    check_name(where, name)
    if (table.command is None) == (table.url is None):
        raise LabError(f"{where} needs a command, or the url of a server that runs; one of the two")
    if table.url is not None:
        return ServerSettings(name=name, url=checked_url(where, table.url))
    return ServerSettings(
        name=name,
        command=_split(where, table.command or ""),
        folder=_folder(where, table.cwd),
        environment=dict(table.env),
        ready=parse_ready(table.ready),
        ready_timeout_s=_ready_timeout_s(table.ready_timeout),
    )


def _of_command(
    text: str, typed: ServersTyped, in_file: Mapping[str, ServerSettings]
) -> ServerSettings:
    """`gunicorn=gunicorn -b 127.0.0.1:{port} app:app`, the name of a table or of a peer; or, as
    `--url` has it, the address of one that runs."""
    checks.text("--server", text)
    name, equals, command = (part.strip() for part in text.partition("="))
    if not equals:
        return in_file[name] if name in in_file else _peer(name, typed, in_file)
    if not name or not command:
        raise LabError(f"--server {text!r} is no name and command; {_LIKE}")
    check_name("--server", name)
    if _is_url(command):
        return ServerSettings(name=name, url=checked_url(f"--server {name}", command))
    return ServerSettings(
        name=name,
        command=_split(f"--server {name}", command),
        folder=_folder("--cwd", typed.folder),
        environment=_environment(typed.environment),
        ready=parse_ready(typed.ready),
        ready_timeout_s=_ready_timeout_s(typed.ready_timeout_s),
    )


def _peer(name: str, typed: ServersTyped, in_file: Mapping[str, ServerSettings]) -> ServerSettings:
    """The peer of that name. Raises `LabError`."""
    if name not in PEERS:
        near = difflib.get_close_matches(name, [*in_file, *PEERS], n=1, cutoff=0.5)
        told = f"; did you mean {near[0]}?" if near else f"; {_LIKE}"
        file = f"no table of {typed.file or SERVERS_FILE} and " if in_file else ""
        raise LabError(f"--server {name!r} is {file}no name and command{told}")
    if not is_installed(name):
        raise LabError(
            f"--server {name}: {name} is not installed; pip install 'metricstream-lab[peers]'"
        )
    return ServerSettings(name=name, command=command_of(name))


def _of_url(text: str) -> ServerSettings:
    checks.text("--url", text)
    name, equals, url = (part.strip() for part in text.partition("="))
    if not equals or not name or "://" in name:
        raise LabError(f"--url {text!r} is no name and address; {_LIKE_URL}")
    check_name("--url", name)
    return ServerSettings(name=name, url=checked_url(f"--url {name}", url))


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _only_of_commands(typed: ServersTyped) -> None:
    """Raise `LabError` where what is for commands was typed without one."""
    named = [text.partition("=")[2].strip() for text in typed.server]
    if any(command and not _is_url(command) for command in named):
        return
    given = {
        "--cwd": typed.folder,
        "--env": typed.environment or None,
        "--ready": typed.ready,
        "--ready-timeout": typed.ready_timeout_s,
    }
    for flag, value in given.items():
        if value is not None:
            raise LabError(f"{flag} is for --server NAME=COMMAND; add one or leave it out")


def check_name(where: str, name: str) -> None:
    """Raise `LabError` for what is no name of an arm."""
    if not name or len(name) > checks.LONGEST_NAME or not name.isprintable() or "," in name:
        shown = visible(short(name), keep="")
        raise LabError(
            f"{where} {shown!r}: a name is up to {checks.LONGEST_NAME} letters without comma"
        )


def checked_url(where: str, url: str) -> str:
    """`http://HOST:PORT` of an address. Raises `LabError`."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise LabError(f"{where}: {url!r} is no address; {_LIKE_URL}") from error
    if parts.scheme == "https":
        raise LabError(
            f"{where}: {url} speaks TLS, and a handshake for each request would be all that is "
            "measured; name the plain http:// port behind it"
        )
    if parts.scheme != "http" or not parts.hostname:
        raise LabError(f"{where}: {url!r} is no address; {_LIKE_URL}")
    if parts.path not in ("", "/") or parts.query:
        raise LabError(f"{where}: {url}: the path goes into --request 'GET {parts.path or '/'}'")
    return f"http://{parts.hostname}:{port}"


def _split(where: str, command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LabError(f"{where}: {error}; quote as in a shell") from error
    if not words:
        raise LabError(f"{where} has no command; {_LIKE}")
    return words


def _folder(where: str, folder: str | None) -> str | None:
    if folder is not None and not Path(folder).is_dir():
        raise LabError(f"{where}: {folder} is no folder; name one that is there")
    return folder


def _environment(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        checks.text("--env", text)
        name, equals, value = text.partition("=")
        if not equals or not name or "\0" in text:
            raise LabError(f"--env {text!r} is no name and value; write it like --env WORKERS=4")
        found[name] = value
    return found


def parse_ready(text: str | None) -> str | None:
    """`GET:/healthz`. Raises `LabError`."""
    if text is None:
        return None
    method, colon, path = text.partition(":")
    if not colon or method != "GET" or not path.startswith("/") or not path.isprintable():
        raise LabError(
            f"--ready {visible(text)!r} is no request; write it like --ready GET:/healthz"
        )
    if " " in path or not path.isascii():
        raise LabError(f"--ready {text!r}: a path has no space; write %20")
    return text


def _ready_timeout_s(value: float | None) -> float:
    seconds = _READY_S if value is None else value
    checks.between("--ready-timeout", seconds, 0.1, 600)
    return seconds
