"""A notebook as a page: its cells as Markdown, with the outputs that are committed, its pictures as
files, and folded what answers a prediction, and at the end the answers of its exercises.

Cells become Markdown of the site rather than nbconvert's HTML within a page, so that search, table
of contents, dark colours and narrow screens hold for them too. Nothing is run.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import indent
from typing import Any

_STYLE = re.compile(r"<style.*?</style>\s*", re.DOTALL)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# What answers a prediction, as JupyterLab folds it.
_FOLDED = """<details class="output" markdown>
<summary>What came out (predict first)</summary>

{}
</details>
"""
_TITLE = re.compile(r"^# (.+)\n*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NotebookPage:
    """The text of a page, and its pictures as PNG by the names that the text has for them."""

    title: str
    text: str
    pictures: dict[str, bytes]


def notebook_page(file: Path, answers: Path | None = None) -> NotebookPage:
    """The page of a notebook. `answers`: the notebook of its solutions. Its pictures are named
    after the file and their number in it."""
    pictures: dict[str, bytes] = {}
    parts = list(_cells(file, pictures))
    title = _TITLE.search(parts[0]) if parts else None
    if answers is not None:
        solved = "\n".join(_cells(answers, pictures))
        solved = _TITLE.sub("", solved, count=1)
        parts.append(f'## Answers\n\n??? success "Try first, then look"\n{indent(solved, "    ")}')
    return NotebookPage(title[1] if title else file.stem, "\n".join(parts), pictures)


def _cells(file: Path, pictures: dict[str, bytes]) -> Iterator[str]:
    """Each cell of a notebook, and after it what it gave."""
    for cell in json.loads(file.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield f"{source}\n"
        elif cell["cell_type"] == "code" and source.strip():
            yield f"```python\n{source}\n```\n"
            name = f"{file.parent.name}-{file.stem}"
            outputs = [_output(output, source, name, pictures) for output in cell["outputs"]]
            if outputs and cell["metadata"].get("jupyter", {}).get("outputs_hidden"):
                outputs = [_FOLDED.format("\n".join(outputs))]
            yield from outputs


def _output(output: dict[str, Any], source: str, name: str, pictures: dict[str, bytes]) -> str:
    """One output in the richest form that a page can hold."""
    if output["output_type"] == "error":
        return _plain("\n".join(output["traceback"]))
    data = output.get("data", {"text/plain": output.get("text", "")})
    forms = {form: "".join(value) for form, value in data.items() if form != "image/png"}
    if "image/png" in data:
        picture = f"{name}-{len(pictures) + 1}.png"
        pictures[picture] = b64decode("".join(data["image/png"]))
        told = output.get("metadata", {}).get("image/png", {}).get("alt")
        words = told or f"The picture that {source.strip().splitlines()[-1]} draws"
        return f"![{_alone(words)}]({picture}){{ .output }}\n"
    if "text/markdown" in forms:
        return f'<div class="output said" markdown>\n{forms["text/markdown"]}\n</div>\n'
    if "text/html" in forms:
        table = _STYLE.sub("", forms["text/html"]).replace(' border="1" class="dataframe"', "")
        table = re.sub(r"\n\s*", "", table).replace(' style="text-align: right;"', "")
        return f'<div class="output">{table}</div>\n'
    return _plain(forms.get("text/plain", ""))


def _alone(text: str) -> str:
    """On one line, with no bracket that would end it where it stands for a picture."""
    return " ".join(text.split()).translate(str.maketrans("[]", "()"))


def _plain(text: str) -> str:
    # In one line: a blank line would end the element for Markdown, and its indentation is kept.
    shown = escape(_ANSI.sub("", text).rstrip("\n"), quote=False).replace("\n", "&#10;")
    return f'<pre class="output">{shown}</pre>\n'
