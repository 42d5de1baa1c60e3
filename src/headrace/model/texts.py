"""Texts that mark which of their parts are values of rows, until the reader's rights are known.

Whoever writes a text about data writes `f"{column}: newest is {marked(newest)}"`: the value is
between marks in what is written, joined and stored. `plain` takes the marks out for somebody who
may read rows, and `hidden` the values for somebody who may not. The rest of a text is words, names
and numbers, which anybody may read. Words of others (an error of DuckDB, the detail of a check
kind of another package) are a value as a whole.

The marks are noncharacters of Unicode, which are meant for this: no text that is exchanged has
them. Values that have them nevertheless lose them.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "…"
"""Stands for a value that the reader may not read."""
BEGIN, END = MARKS = "\ufdd0\ufdd1"
"""What stands before a value, and after it."""
_NO_MARKS = dict.fromkeys(map(ord, MARKS))
_VALUE = re.compile(f"(?:{BEGIN}|\\A[^{BEGIN}{END}]*(?={END}))[^{END}]*(?:{END}|\\Z)")
"""A value. Where a text was cut, it has no end, or no begin."""
_CLASS = re.compile(r"(?:(?:[A-Z]\w*|of) )*[\w.]*(?:Error|[Ee]xception): ")
"""The class of an error of Python or DuckDB: `KeyError: `, `Out of Range Error: `."""


def marked(value: object) -> str:
    """Return a value of a row, or text that reveals one, between marks."""
    return f"{BEGIN}{plain(str(value))}{END}"


def quoted(value: str) -> str:
    """Return a value of a row in quotes, between marks."""
    return marked(repr(value))


def plain(text: str) -> str:
    """Return a text without its marks, for somebody who may read rows."""
    return text if text.isascii() else text.translate(_NO_MARKS)


def hidden(text: str) -> str:
    """Return a text with `HIDDEN` in place of its values."""
    return text if text.isascii() else plain(_VALUE.sub(HIDDEN, text))


def hidden_in(value: Any) -> Any:
    """Return decoded JSON or msgpack with each of its texts `hidden`."""
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, list):
        return [hidden_in(item) for item in value]
    if isinstance(value, dict):
        return {name: hidden_in(item) for name, item in value.items()}
    return value


def of_error(message: str) -> str:
    """Return the words of an error of asset code, or of DuckDB, as a value after its class."""
    named = _CLASS.match(message)
    end = named.end() if named else 0
    return f"{message[:end]}{marked(message[end:])}"
