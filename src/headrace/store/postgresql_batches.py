"""Rewrites a statement that is executed once per row into one statement for all rows.

PostgreSQL parses, binds and executes per statement, which costs several times as much as the row
itself. The rows travel as one array per parameter, each cast to the type of the column that it is
written to or compared with, so that values mean the same as untyped parameters of a single row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

COLUMN_TYPES = (
    "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid ="
    " to_regclass(?) and attnum > 0 and not attisdropped"
)
"""SQL for the columns of a table and their types."""
TEXTS_KEPT = 1_024
NUMBER = "bigint"
"""Type of parameters in expressions, which only whole numbers are used in."""

_INSERT = re.compile(
    r"\s*insert into (\w+)\s*\(([^()]*)\)\s*values\s*\(([^()]*)\)(\s+on conflict.*)?\s*",
    re.IGNORECASE | re.DOTALL,
)
_UPDATE = re.compile(r"\s*update (\w+) set (.*?) where (.*)", re.IGNORECASE | re.DOTALL)
_DELETE = re.compile(r"\s*delete from (\w+) where (.*)", re.IGNORECASE | re.DOTALL)
_CONFLICT = re.compile(r"\s+on conflict \(([\w, ]+)\) do (nothing|update)", re.IGNORECASE)
_REFUSED = re.compile(r":|\b(?:select|or|between|case|not)\b", re.IGNORECASE)
"""Parts of conditions and expressions that this module doesn't understand."""
_COMMA = re.compile(r",(?![^()]*\))")
"""A comma outside parentheses; nested parentheses are refused."""
_KEY = re.compile(r"(\w+) = \?")
_ASSIGNMENT = re.compile(r"(\w+) = (.*)", re.DOTALL)
_NESTED = re.compile(r"\([^()]*\(")


class Batched(NamedTuple):
    """A statement for any number of rows."""

    table: str
    columns: tuple[str, ...]
    """By parameter, the column that gives its type; empty in an expression of whole numbers."""
    keys: tuple[int, ...]
    """Positions of parameters whose values must differ between rows; empty if they needn't."""
    before: str
    after: str
    is_insert: bool

    def text(self, types: Sequence[str]) -> str:
        """Return the statement, with one `?` per column of the rows."""
        arrays = ", ".join(f"?::{name}[]" for name in types)
        names = ", ".join(f"p{n}" for n in range(len(types)))
        return f"{self.before} unnest({arrays}) as v({names}){self.after}"


@lru_cache(maxsize=TEXTS_KEPT)
def batched(sql: str) -> Batched | None:
    """Return the statement for many rows; None if it can't be rewritten safely."""
    if "'" in sql and ("''" in sql or "?" in "".join(sql.split("'")[1::2])):
        return None
    if (insert := _INSERT.fullmatch(sql)) is not None:
        return _insertion(*insert.groups(""))
    if (update := _UPDATE.fullmatch(sql)) is not None:
        return _update(*update.groups())
    if (delete := _DELETE.fullmatch(sql)) is not None:
        return _deletion(*delete.groups())
    return None


def _insertion(table: str, columns: str, values: str, conflict: str) -> Batched | None:
    names = [name.strip() for name in columns.split(",")]
    items = [item.strip() for item in values.split(",")]
    if len(names) != len(items) or not _are_simple(items) or "?" in conflict:
        return None
    filled = tuple(name for name, item in zip(names, items, strict=True) if item == "?")
    keys = _conflicting(conflict, filled)
    if keys is None or not filled:
        return None
    before = f"insert into {table} ({columns}) select {_numbered(', '.join(items), 0)} from"
    return Batched(table, filled, keys, before, conflict, is_insert=True)


def _are_simple(items: Sequence[str]) -> bool:
    """Whether each item is a parameter or contains none."""
    return all(item == "?" or ("?" not in item and ":" not in item) for item in items)


def _conflicting(conflict: str, filled: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return the parameters that must differ, as no row may be updated twice; None if unknown."""
    if not conflict:
        return ()
    target = _CONFLICT.match(conflict)
    if target is None:
        return None
    if target[2].lower() == "nothing":
        return ()
    columns = [name.strip() for name in target[1].split(",")]
    if not all(column in filled for column in columns):
        return None
    return tuple(filled.index(column) for column in columns)


def _update(table: str, assignments: str, conditions: str) -> Batched | None:
    if _REFUSED.search(assignments) or _NESTED.search(assignments):
        return None
    parts = [_ASSIGNMENT.fullmatch(part.strip()) for part in _COMMA.split(assignments)]
    columns: list[str] = []
    written: list[str] = []
    for part in parts:
        if part is None:
            return None
        count = part[2].count("?")
        columns += [part[1]] if part[2] == "?" else [""] * count
        written.append(part[1])
    where = _conditions(conditions, len(columns))
    if where is None or set(where.columns) & set(written):
        return None
    text, keys = (
        _numbered(assignments, 0),
        tuple(range(len(columns), len(columns) + len(where.columns))),
    )
    before = f"update {table} set {text} from"
    return Batched(
        table, (*columns, *where.columns), keys, before, f" where {where.text}", is_insert=False
    )


def _deletion(table: str, conditions: str) -> Batched | None:
    where = _conditions(conditions, 0)
    if where is None:
        return None
    before = f"delete from {table} using"
    return Batched(table, where.columns, (), before, f" where {where.text}", is_insert=False)


class _Conditions(NamedTuple):
    text: str
    columns: tuple[str, ...]


def _conditions(text: str, first: int) -> _Conditions | None:
    """Return conditions with numbered parameters, from `first` on; None if they aren't simple."""
    if _REFUSED.search(text):
        return None
    columns: list[str] = []
    for part in text.strip().split(" and "):
        key = _KEY.fullmatch(part.strip())
        if key is not None:
            columns.append(key[1])
        elif "?" in part:
            return None
    return _Conditions(_numbered(text, first), tuple(columns)) if columns else None


def _numbered(text: str, first: int) -> str:
    """Replace each `?` by the column of the rows with its number."""
    head, *tail = text.split("?")
    return head + "".join(f"v.p{first + n}{part}" for n, part in enumerate(tail))


def types_of(statement: Batched, types: Mapping[str, str]) -> list[str] | None:
    """Return the type of each parameter; None if the table hasn't got a column."""
    result = [types.get(column) if column else NUMBER for column in statement.columns]
    known = [name for name in result if name is not None]
    return known if len(known) == len(result) else None


def arrays_of(statement: Batched, rows: Sequence[Any]) -> list[str] | None:
    """Return one array per parameter as PostgreSQL's text; None if rows must be sent one by one."""
    if statement.keys and len({tuple(row[n] for n in statement.keys) for row in rows}) < len(rows):
        return None
    arrays = []
    for column, values in zip(statement.columns, zip(*rows, strict=True), strict=True):
        array = _array(values)
        if array is None or not (column or all(isinstance(value, int) for value in values)):
            return None
        arrays.append(array)
    return arrays


def _array(values: Sequence[Any]) -> str | None:
    """Return values as PostgreSQL's text of an array; None for a type without a known text."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return "{" + ",".join(map(str, values)) + "}"
    if kinds == {str}:
        plain = '","'.join(values)
        if plain.count('"') == 2 * (len(values) - 1) and "\\" not in plain and "\0" not in plain:
            return f'{{"{plain}"}}'
    elements = [_element(value) for value in values]
    known = [element for element in elements if element is not None]
    return "{" + ",".join(known) + "}" if len(known) == len(elements) else None


def _element(value: Any) -> str | None:
    """Return a value as an element of an array; None for a type without a known text."""
    if value is None:
        return "NULL"
    for kind, text in _TEXTS:
        if isinstance(value, kind):
            return text(value)
    return None


def _quoted(text: str) -> str:
    # NUL as in `postgresql_dialect.adapt`
    plain = text.replace("\0", "\u2400").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (str, _quoted),
    (int, lambda value: f"{value:d}"),
    (float, repr),
    (bytes, lambda value: f'"\\\\x{value.hex()}"'),
)
