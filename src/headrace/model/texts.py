"""Texts that mark which of their parts are values of rows, until the reader's rights are known.

Whoever writes a text writes it by `text`: a template, and its parts. A part that is a `Value` is
between marks in what is written and stored; `plain` takes the marks out for somebody who may read
rows, and `hidden` the values for somebody who may not. The rest of such a text is words, names and
numbers, which anybody may read. A text that wasn't written by `text` (by earlier versions, or by a
check kind of another package) has no marks, so its words are unknown: `hidden` hands them to a
function. Both kinds can be joined in any way, and cut.

The marks are noncharacters of Unicode, which are meant for this: no text that is exchanged has
them. Values and names that have them nevertheless lose them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

HIDDEN = "…"
"""Stands for a value that the reader may not read."""
_TEXT, _TEXT_END, _VALUE, _VALUE_END = MARKS = "\ufdd0\ufdd1\ufdd2\ufdd3"
"""The begin and the end of a text by `text`, and of a value in it."""
_NO_MARKS = dict.fromkeys(map(ord, MARKS))
_WRITTEN = re.compile(f"{_TEXT}([^{_TEXT_END}]*)(?:{_TEXT_END}|\\Z)")
_WITH_VALUE = re.compile(f"{_VALUE}[^{_VALUE_END}]*(?:{_VALUE_END}|\\Z)")
"""A value; one whose text was cut has no end."""
_CLASS = re.compile(r"(?:(?:[A-Z]\w*|of) )*[\w.]*(?:Error|[Ee]xception): ")
"""The class of an error of Python or DuckDB: `KeyError: `, `Out of Range Error: `."""


class Value(str):
    """A part of a text that is a value of a row, or tells one."""

    __slots__ = ()


def text(template: str, *parts: object) -> str:
    """Return the template with the parts in place of its `{}`, and with marks around values."""
    return f"{_TEXT}{template.format(*map(_part, parts))}{_TEXT_END}"


def _part(part: object) -> str:
    cleaned = plain(str(part))
    return f"{_VALUE}{cleaned}{_VALUE_END}" if isinstance(part, Value) else cleaned


def plain(marked: str) -> str:
    """Return a text without its marks, for somebody who may read rows."""
    return marked if marked.isascii() else marked.translate(_NO_MARKS)


def hidden(marked: str, unknown: Callable[[str], str] = lambda words: words) -> str:
    """Return a text with `HIDDEN` in place of its values.

    `unknown` takes the values out of the parts that weren't written by `text`.
    """
    parts = _WRITTEN.split(marked)  # unknown words, a text, unknown words, …
    return "".join(
        plain(_WITH_VALUE.sub(HIDDEN, part if number % 2 or not part else unknown(part)))
        for number, part in enumerate(parts)
    )


def of_error(message: str) -> str:
    """Return the words of an error of asset code, or of DuckDB, as a value after its class."""
    named = _CLASS.match(message)
    return text("{}{}", named[0] if named else "", Value(message[named.end() if named else 0 :]))
