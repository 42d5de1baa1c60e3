"""What somebody who may see nodes, but not read rows, gets of texts with values: the texts alone.

Reasons, verdicts and evidence quote values of rows: the first value of another type, a category
that is new, values that break a check. Asset code, commands and log lines stay as they are.
TRUST Z4.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

HIDDEN = "…"
"""Stands for a value that the reader may not read."""
TEXTS = frozenset(
    {
        "because", "detail", "evidence", "expected", "message", "observed", "reason",
        "said", "summary", "verdict", "what", "why",
    }
)  # fmt: skip
"""Fields with texts of Headrace that may quote values."""
QUOTING = frozenset({"DisagreedRow", "OpenRow", "WaitingRow"})
"""Kinds of rows whose field `text` may quote values; elsewhere it is text of files."""
VALUES = {
    "ColumnFigureRow": ("category",), "IncidentFigureRow": ("category",),
    "DisagreedRow": ("value",), "SuggestedCheckRow": ("check", "yaml"),
}  # fmt: skip
"""Kinds of rows → the fields that are values, or have them."""
FILES = frozenset({"ProblemRow"})
"""Rows whose texts quote files of the project, which aren't data."""
_EXAMPLES = re.compile(r"(\b(?:rows?|values?)\b[^()]*)\((?:.*\)|.*)", re.DOTALL)
"""The values that break a check, after how many rows do: `3 rows not in EWR, JFK (XXX, YYY)`."""
_LITERAL = re.compile(r"(?<!\w)(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")(?!\w)", re.DOTALL)
_FROM_QUOTE = re.compile(r"(?<!\w)['\"].*", re.DOTALL)
_OPEN_QUOTE = re.compile(r"(?<!\w)['\"]|['\"](?!\w)")
_MODULE = re.compile(r"No module named '[\w.]{1,60}'")
"""The name of a package is quoted, too, and isn't a value."""


def without_values(value: Any) -> Any:
    """Return a response without the values that its texts quote."""
    if isinstance(value, msgspec.Struct):
        return _struct(value)
    if isinstance(value, dict):
        return {
            key: _texts(item) if key in TEXTS else without_values(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_values(item) for item in value]
    return value


def text_without_values(text: str) -> str:
    """Return a text with HIDDEN in place of the values that it quotes or gives as examples.

    Of a text whose quotes don't pair, nothing is left from the first quote on: a value may have
    quotes itself, or may be cut.
    """
    if _MODULE.search(text):
        return text
    without = _LITERAL.sub(f"'{HIDDEN}'", _EXAMPLES.sub(rf"\1({HIDDEN})", text))
    if _OPEN_QUOTE.search(without.replace(f"'{HIDDEN}'", HIDDEN)):
        return _FROM_QUOTE.sub(f"'{HIDDEN}'", text)
    return without


def _struct(value: msgspec.Struct) -> msgspec.Struct:
    row = type(value).__name__
    if row in FILES:
        return value
    changed = {}
    for field in value.__struct_fields__:
        before = getattr(value, field)
        after = _field(row, field, before)
        if after is not before and after != before:
            changed[field] = after
    return msgspec.structs.replace(value, **changed) if changed else value


def _field(row: str, field: str, value: Any) -> Any:
    if field in VALUES.get(row, ()):
        return _hidden(value)
    if field in TEXTS or (field == "text" and row in QUOTING):
        return _texts(value)
    return without_values(value)


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return dict.fromkeys(value, HIDDEN)
    return None if value is None else HIDDEN


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return text_without_values(value)
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return without_values(value)
