"""Values as other programs expect them: times in ISO 8601, binary in base64, nested values as JSON. As DuckDB's SQL."""

from __future__ import annotations

from headrace.lake import Column
from headrace.lake.session import quote
from headrace.lake.types import parse

_FLOATS = ("FLOAT", "DOUBLE", "REAL")


def is_nested(column: Column) -> bool:
    """Whether its values have parts."""
    return bool(parse(column.type).fields) or column.type.endswith("]")


def has_floats(column: Column) -> bool:
    """Whether NaN and infinities can be in it."""
    return any(word in column.type.upper() for word in _FLOATS)


def as_text(column: Column) -> str:
    """The value as text; NULL stays NULL."""
    name = quote(column.name)
    if is_nested(column) or column.type == "JSON":
        return f"CAST({as_json(column)} AS VARCHAR)"
    if column.type.startswith("TIMESTAMP"):
        return _iso(name)
    if column.type == "BLOB":
        return f"to_base64({name})"
    if column.type in _FLOATS:
        return _spelt(name)
    return f"CAST({name} AS VARCHAR)"


def as_json(column: Column) -> str:
    """The value as JSON. What JSON has no word for is text (NaN) or, inside nested values, refused."""
    name = quote(column.name)
    if is_nested(column):
        return _checked(name, column) if has_floats(column) else f"to_json({name})"
    if column.type in _FLOATS:
        return f"CASE WHEN isfinite({name}) THEN to_json({name}) ELSE to_json({_spelt(name)}) END"
    if column.type.startswith("TIMESTAMP") or column.type == "BLOB":
        return f"to_json({as_text(column)})"
    return f"to_json({name})"


def _iso(name: str) -> str:
    text = f"replace(CAST({name} AS VARCHAR), ' ', 'T')"
    return f"regexp_replace({text}, '([+-]\\d\\d)$', '\\1:00')"


def _spelt(name: str) -> str:
    infinite = f"WHEN isinf({name}) THEN if({name} > 0, 'Infinity', '-Infinity')"
    return f"CASE WHEN isnan({name}) THEN 'NaN' {infinite} ELSE CAST({name} AS VARCHAR) END"


def _checked(name: str, column: Column) -> str:
    """JSON of nested floats: DuckDB writes a NaN in them as it is, which no JSON reader takes."""
    told = f"column {column.name} holds NaN or an infinity inside a nested value, which JSON has no word for".replace("'", "''")
    bare = f"regexp_replace(CAST(to_json({name}) AS VARCHAR), '\"(?:[^\"\\\\]|\\\\.)*\"', '', 'g')"
    return f"CASE WHEN regexp_matches({bare}, 'NaN|Infinity') THEN to_json(CAST(error('{told}') AS VARCHAR)) ELSE to_json({name}) END"
