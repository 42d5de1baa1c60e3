"""Values as other programs expect them: times in ISO 8601, binary in base64, nested values as JSON. As DuckDB's SQL."""

from __future__ import annotations

from headrace.lake import LakeColumn
from headrace.lake.session import literal, quote
from headrace.lake.types import parse

_FLOATS = ("FLOAT", "DOUBLE", "REAL")


def is_nested(column: LakeColumn) -> bool:
    """Whether its values have parts."""
    return bool(parse(column.type).fields) or column.type.endswith("]")


def has_floats(column: LakeColumn) -> bool:
    """Whether NaN and infinities can be in it."""
    return any(word in column.type.upper() for word in _FLOATS)


def as_text(column: LakeColumn) -> str:
    """The value as text; NULL stays NULL."""
    name = quote(column.name)
    if is_nested(column) or column.type == "JSON":
        return f"CAST(to_json({as_json(column)}) AS VARCHAR)"
    if column.type.startswith("TIMESTAMP"):
        return _iso(name)
    if column.type == "BLOB":
        return f"to_base64({name})"
    if column.type in _FLOATS:
        return _spelt(name)
    return f"CAST({name} AS VARCHAR)"


def as_json(column: LakeColumn) -> str:
    """The value as it becomes part of a JSON object. What JSON has no word for is text (NaN) or, inside nested values, refused.

    Decimals aren't made JSON here: inside another JSON value DuckDB would read them again, as doubles."""
    name = quote(column.name)
    if is_nested(column):
        return _checked(name, column) if has_floats(column) else name
    if column.type in _FLOATS:
        return f"CASE WHEN isfinite({name}) THEN to_json({name}) ELSE to_json({_spelt(name)}) END"
    return as_text(column) if column.type.startswith("TIMESTAMP") or column.type == "BLOB" else name


def _iso(name: str) -> str:
    text = f"replace(CAST({name} AS VARCHAR), ' ', 'T')"
    return f"regexp_replace({text}, '([+-]\\d\\d)$', '\\1:00')"


def _spelt(name: str) -> str:
    infinite = f"WHEN isinf({name}) THEN if({name} > 0, 'Infinity', '-Infinity')"
    return f"CASE WHEN isnan({name}) THEN 'NaN' {infinite} ELSE CAST({name} AS VARCHAR) END"


def _checked(name: str, column: LakeColumn) -> str:
    """A nested value with floats in it: DuckDB writes a NaN as it is, which no JSON reader takes."""
    message = literal(f"column {column.name} holds NaN or an infinity inside a nested value, which JSON has no word for")
    bare = f"regexp_replace(CAST(to_json({name}) AS VARCHAR), '\"(?:[^\"\\\\]|\\\\.)*\"', '', 'g')"
    return f"CASE WHEN regexp_matches({bare}, 'NaN|Infinity') THEN error({message}) ELSE {name} END"
