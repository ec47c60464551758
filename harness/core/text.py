"""Text that came from elsewhere, made harmless to look at."""

from __future__ import annotations


def visible(text: str, keep: str = "\n\t") -> str:
    """`text` with escapes (`\\x1b`) for what is no visible letter: commands to a terminal, marks
    that turn the direction of writing, bytes that are no text. What is in `keep` stays."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
