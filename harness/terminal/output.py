"""Writes a command's text in letters that the terminal can show."""

from __future__ import annotations

import codecs
import io
import json
import re
import shlex
import sys
from typing import Any

import rich.console
from rich.text import Text

from harness.core.text import visible

# How the lab's own signs are written where there is nothing but ASCII.
_ASCII = {
    "×": "x", "µ": "u", "μ": "u", "–": "-", "—": "-", "·": "|", "…": ".", "≥": ">=", "≤": "<=",
    "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "%", "█": "#",
    "░": ".", "▏": "|", "│": "|", "└": "+", "─": "-",
}  # fmt: skip


class Console(rich.console.Console):
    """Rich's, for text that is data: a name in square brackets is a name and no colour, and none
    can give the terminal commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **how: Any) -> Text:
        """As Rich does it, of what is to be `shown`."""
        return super().render_str(shown(text), **how)


def prepare_streams() -> None:
    """Whatever standard output and standard error cannot hold is written in ASCII, not refused."""
    codecs.register_error("labrun", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="labrun")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = shown(error.object[error.start : error.end])
    return "".join(_ASCII.get(c) or c.encode("unicode_escape").decode() for c in text), error.end


def shown(text: str) -> str:
    """`visible` of a text that may hold names of files, which are taken for UTF-8."""
    return visible(text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))


def write_json(data: bytes) -> None:
    """A record to standard output, alone; in ASCII, as JSON allows, where that is not UTF-8."""
    if codecs.lookup(sys.stdout.encoding).name != "utf-8":
        text = data.decode()
        data = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text).encode()
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def complain(sentence: str) -> None:
    """A line on standard error, as `labrun` speaks."""
    print(f"labrun: {shown(sentence)}", file=sys.stderr)


def command_line() -> str:
    """The command line as it was typed, to be pasted into a shell."""
    return shown(shlex.join(["labrun", *sys.argv[1:]]))
