"""Values as text and as JSON, in SQL of DuckDB.

Times are in ISO 8601, binary values in base64, nested values are JSON. JSON is put together as
text: `to_json` reads decimals again, and numbers in a value of JSON, as doubles.
"""

from __future__ import annotations

import json

from headrace.lake import LakeColumn
from headrace.lake.sqltext import cast_to_text, literal, quote
from headrace.lake.types import Type, parse

_FLOATS = ("FLOAT", "DOUBLE")
_BARE = ("BOOLEAN", "DECIMAL")
"""Beside whole numbers: types whose text is JSON."""


def is_nested(column: LakeColumn) -> bool:
    """Whether its values are STRUCTs, LISTs or MAPs."""
    return bool(parse(column.type).fields)


def as_text(column: LakeColumn) -> str:
    """Return SQL for the value as text; NULL stays NULL."""
    kind, name = parse(column.type), quote(column.name)
    return _json(kind, name, column.name, 0) if kind.fields else _text(kind, name)


def as_json(column: LakeColumn) -> str:
    """Return SQL for the value as text of JSON; NULL stays NULL.

    Floats that JSON can't express (NaN) become text.
    """
    return _json(parse(column.type), quote(column.name), column.name, 0)


def as_double(column: LakeColumn) -> str:
    """Return SQL for a FLOAT as the DOUBLE of the same digits: 0.1, not 0.10000000149."""
    return f"CAST(CAST({quote(column.name)} AS VARCHAR) AS DOUBLE)"


def _text(kind: Type, value: str) -> str:
    if kind.name.startswith("TIMESTAMP"):
        return _iso(cast_to_text(kind.name, value))
    if kind.name == "BLOB":
        return f"to_base64({value})"
    if kind.name in _FLOATS:
        infinite = f"WHEN isinf({value}) THEN if({value} > 0, 'Infinity', '-Infinity')"
        return f"CASE WHEN isnan({value}) THEN 'NaN' {infinite} ELSE CAST({value} AS VARCHAR) END"
    return f"CAST({value} AS VARCHAR)"


def _iso(text: str) -> str:
    """Return SQL for a time in ISO 8601; one before the year 1 stays as DuckDB writes it (BC)."""
    iso = f"regexp_replace(replace({text}, ' ', 'T'), '([+-]\\d\\d)$', '\\1:00')"
    return f"if(contains({text}, '(BC)'), {text}, {iso})"


def _quoted(text: str) -> str:
    return f"CAST(to_json({text}) AS VARCHAR)"


def _json(
    kind: Type, value: str, column: str, depth: int
) -> str:  # complexipy: ignore (a case per type)
    """Return SQL for a value's JSON as text; `depth` tells the variables of lambdas apart."""
    item, parts = f"v{depth}", [part for _, part in kind.fields]
    match kind.name:
        case "STRUCT":
            fields = " || ',' || ".join(
                f"{literal(json.dumps(name, ensure_ascii=False) + ':')} || "
                + _or_null(part, f"struct_extract({value}, {literal(name)})", column, depth)
                for name, part in kind.fields
            )
            return f"if({value} IS NULL, NULL, '{{' || {fields} || '}}')"
        case "LIST":
            each = _or_null(parts[0], item, column, depth + 1)
            return f"'[' || {_joined(value, item, each)} || ']'"
        case "MAP":
            of_key = (parts[0], f"{item}.key")
            text = _json(*of_key, column, depth + 1) if parts[0].fields else _text(*of_key)
            each = f"{_quoted(text)} || ':' || " + _or_null(
                parts[1], f"{item}.value", column, depth + 1
            )
            return f"'{{' || {_joined(f'map_entries({value})', item, each)} || '}}'"
        case "JSON":
            return _checked(value, column)
        case name if name in _FLOATS:
            text = _text(kind, value)
            return f"if(isfinite({value}), {text}, {_quoted(text)})"
        case name if name.endswith("INT") or name == "INTEGER" or name.startswith(_BARE):
            return _text(kind, value)
    return _quoted(_text(kind, value))


def _checked(value: str, column: str) -> str:
    """Return SQL for the text of a JSON value on one line, which refuses what only DuckDB reads."""
    message = literal(f"column {column}: a value isn't JSON that others read, such as NaN")
    text = f"CAST({value} AS VARCHAR)"
    bare = f"regexp_replace({text}, '\"(?:[^\"\\\\]|\\\\.)*\"', '0', 'g')"
    return (  # line ends are never in a string
        f"if(regexp_matches({bare}, '(?i)nan|inf|,\\s*[\\]}}]'), error({message}),"
        f" regexp_replace({text}, '[\\r\\n]', ' ', 'g'))"
    )


def _or_null(kind: Type, value: str, column: str, depth: int) -> str:
    return f"coalesce({_json(kind, value, column, depth)}, 'null')"


def _joined(values: str, item: str, each: str) -> str:
    """Return SQL for the texts of a list's items with commas; NULL for NULL."""
    return f"array_to_string(list_transform({values}, lambda {item}: {each}), ',')"
