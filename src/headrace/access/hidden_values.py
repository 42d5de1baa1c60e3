"""Texts with values for their readers: `plain` ones, or without values for who may not read rows.

Reasons, verdicts and evidence quote values of rows: values that break a check, a category that is
new. Texts by `headrace.model.texts.text` mark them; of others (errors of asset code and of DuckDB,
what earlier versions have stored), quoted and listed values are left out. Asset code, commands and
log lines stay as they are. TRUST Z4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.model import texts
from headrace.model.errors import HeadraceError
from headrace.model.texts import HIDDEN
from headrace.responses import ErrorRow

if TYPE_CHECKING:
    from headrace.project.session import Progress

TEXTS = frozenset(
    {
        "because", "detail", "ended", "error", "evidence", "expected", "first", "headline",
        "message", "note", "notes", "observed", "reason", "said", "says", "state_reason", "summary",
        "unmeasured", "verdict", "warned", "what", "why",
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
_NUMBERS = (int, float, type(None))
_BRACKETS = {"(": 1, ")": -1}
FILES = frozenset({"ProblemRow"})
"""Rows whose texts quote files of the project, which aren't data."""
LEFT_OUT = "its words are left out, because they may quote values"
"""Follows the name of an error of asset code, or of DuckDB about its query."""
_ERROR = re.compile(
    r"\b((?:(?:[A-Z]\w*|of) )*(?:\w*(?:Error|Exception)|\w+ exception)): .*", re.DOTALL
)
"""An error of DuckDB or of Python: the name of its class, and its words to the end of the text."""
_CLASS = re.compile(r"\A([^\W\d][\w ]{0,80}): .*", re.DOTALL)
_BODY_FAILED = "body_failed"
_CAST = re.compile(r"\b(with value) (?:.*(?= can't be cast)|\S+)", re.DOTALL)
_OVERFLOW = re.compile(r"\b(overflow in )[\w ]+.*", re.DOTALL | re.IGNORECASE)
"""Values that DuckDB doesn't quote; of an overflow, the rest of the text is hidden."""
_EXAMPLES = re.compile(r"\b(?:rows?|values?)\b[^()]*\(")
"""The values that break a check, after how many rows do: `3 rows not in EWR, JFK (XXX, YYY)`."""
_QUOTED = r"(?<!\w)(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")(?!\w)"
_LITERAL = re.compile(
    rf"(?P<name>\b(?:column|host name|file|directory|time zone) {_QUOTED})|{_QUOTED}", re.DOTALL
)
"""Quoted names of these things aren't values."""
_FROM_QUOTE = re.compile(r"(?<!\w)['\"].*", re.DOTALL)
_OPEN_QUOTE = re.compile(r"(?<!\w)['\"]|['\"](?!\w)")
_MODULE = re.compile(r"(?:ModuleNotFoundError: )?No module named '[\w.]{1,60}'")
"""The name of a package is quoted, too, and isn't a value."""


class RenderedProgress:
    """A progress whose lines are rendered for their reader."""

    def __init__(self, progress: Progress, render: Callable[[str], str]) -> None:
        self._progress, self._render = progress, render

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)

    def note(self, line: str) -> None:
        """Display one line."""
        self._progress.note(self._render(line))


def plain(value: Any, *, rows: bool = False) -> Any:
    """Return a response without marks of values; with `rows`, mappings and lists in lists are data.

    Data stays as it is.
    """
    if isinstance(value, str):
        return texts.plain(value)
    if isinstance(value, msgspec.Struct):
        return _replaced(value, {name: plain(item, rows=rows) for name, item in _fields(value)})
    if isinstance(value, list | tuple):
        return getattr(value, "_make", type(value))(_plain_items(value, rows))
    if isinstance(value, dict) and not rows:
        return dict(zip(value, map(plain, value.values()), strict=True))
    return value


def _plain_items(values: Iterable[Any], rows: bool) -> Iterator[Any]:
    data = (dict, list, tuple) if rows else ()
    return (item if isinstance(item, data) else plain(item, rows=rows) for item in values)


def without_values(value: Any) -> Any:
    """Return a response without the values that its texts quote."""
    if isinstance(value, msgspec.Struct):
        return _struct(value)
    if isinstance(value, dict):
        return {
            key: _texts(item) if key in TEXTS else without_values(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return getattr(value, "_make", type(value))(map(without_values, value))
    return texts.hidden(value) if type(value) is str else value


def render_error(error: HeadraceError, render: Callable[[str], str]) -> None:
    """Render an error's message for its reader."""
    error.args = tuple(render(item) if isinstance(item, str) else item for item in error.args)


def text_without_values(text: str) -> str:
    """Return a text with HIDDEN in place of the values that it marks, quotes or gives as examples.

    Of an error of asset code or DuckDB, its name is left. Of words whose quotes don't pair,
    nothing is left from the first quote on: a value may have quotes itself, or may be cut.
    """
    return texts.hidden(text, _without_quoted)


def _without_quoted(text: str) -> str:
    if _MODULE.fullmatch(text):
        return text
    text = _ERROR.sub(rf"\1: {LEFT_OUT}", text)
    text = _OVERFLOW.sub(rf"\1{HIDDEN}", _CAST.sub(rf"\1 {HIDDEN}", text))
    text = _without_examples(text)
    if _OPEN_QUOTE.search(_LITERAL.sub("", text)):
        return _FROM_QUOTE.sub(f"'{HIDDEN}'", text)
    return _LITERAL.sub(lambda match: match["name"] or f"'{HIDDEN}'", text)


def _without_examples(text: str) -> str:
    parts = []
    while match := _EXAMPLES.search(text):
        parts += [text[: match.end()], HIDDEN, ")"]
        text = text[_end_of_examples(text, match.end()) :]
    return "".join(parts) + text


def _end_of_examples(text: str, begin: int) -> int:
    """Return where a list of examples ends: after its bracket, if the next clause follows it.

    Else, or if a value has a bracket without its other one, it is the rest of the text.
    """
    depth = 1
    for at in range(begin, len(text)):
        depth += _BRACKETS.get(text[at], 0)
        if not depth:
            rest = text[at + 1 :]
            paired = rest.count("(") == rest.count(")")
            return at + 1 if rest.startswith(";") and paired else len(text)
    return len(text)


def _struct(value: msgspec.Struct) -> msgspec.Struct:
    row = type(value).__name__
    if row in FILES:
        return plain(value)  # type: ignore[no-any-return]
    after = {name: _field(row, name, item) for name, item in _fields(value)}
    if isinstance(value, ErrorRow) and value.code == _BODY_FAILED:
        after["message"] = _words(value.message)
    return _replaced(value, after)


def _fields(value: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """Yield the fields that aren't numbers or nothing."""
    for name in value.__struct_fields__:
        item = getattr(value, name)
        if not isinstance(item, _NUMBERS):
            yield name, item


def _replaced(value: msgspec.Struct, after: dict[str, Any]) -> msgspec.Struct:
    changed = {}
    for name, item in after.items():
        before = getattr(value, name)
        if item is not before and item != before:
            changed[name] = item
    return msgspec.structs.replace(value, **changed) if changed else value


def _field(row: str, field: str, value: Any) -> Any:
    if field in VALUES.get(row, ()):
        return _hidden(value)
    if field in TEXTS or (field == "text" and row in QUOTING):
        return _texts(value)
    return without_values(value)


def _words(message: str) -> str:
    """Return what is left of an error of asset code, whatever its class is called."""
    if _MODULE.fullmatch(message):
        return message
    return _CLASS.sub(rf"\1: {LEFT_OUT}", text_without_values(message))


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
