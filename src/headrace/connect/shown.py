"""Text from outside, as messages may hold it: cut, and without control characters (a terminal and a log stay whole)."""

from __future__ import annotations

from headrace.model.errors import words_of

SHOWN_CHARACTERS = 60


def shown(text: object, limit: int = SHOWN_CHARACTERS) -> str:
    """`text` in at most `limit` characters (then `…`), everything that isn't printable escaped."""
    raw = str(text)
    cut = "".join(char if char.isprintable() else _escaped(char) for char in raw[:limit])
    return cut + "…" if len(raw) > limit else cut


def first_line(error: Exception, path: str, limit: int = 160) -> str:
    """The first line of an error's text without the path of our copy, which says nothing to a reader."""
    text = str(error).replace(path, "the file").removeprefix("Invalid Input Error: ")
    return shown((text.strip().splitlines() or [words_of(error)])[0], limit)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
