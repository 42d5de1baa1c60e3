"""Values that a command wrote as CSV or JSON lines, read in a column's type without a change.

DuckDB's own reading rounds: `10.75` is 11 as BIGINT, a date loses its time of day, and a TIMESTAMP
its offset (1.5.5). Here such a value is an error: it is read as text, and compared with what
becomes of it.
"""

from __future__ import annotations

from headrace.lake.schema import WRITTEN
from headrace.lake.sqltext import literal, quote
from headrace.lake.types import DECIMAL_DIGITS_MAX, Type, digits, parse

TEXT = "VARCHAR"
_EXACT_MAX = 1 << 53
"""From here on DuckDB, which reads fractions of JSON as DOUBLE, may have changed them."""
_LOST_IN_TIME = r"\.\d{6}\d*[1-9]|\d\d?:\d\d.*[+-]\d\d(:?\d\d)?\s*$"
"""Nanoseconds, or an offset from UTC: a TIME or TIMESTAMP has neither."""


def read_type(kind: str, seen: str = TEXT) -> str:
    """Return the type in which DuckDB is to read a column; `seen` is what it sees in JSON lines."""
    if _is_compared(kind, seen):
        return TEXT
    return _with_numbers(parse(seen), parse(kind)).text if seen != TEXT else kind


def exact(name: str, kind: str, seen: str = TEXT) -> str:
    """Return the expression of a column that was read as `read_type` says.

    A value that the type doesn't hold as it was written raises an error. Numbers that were read in
    another type are left to the cast into the table, which checks each.
    """
    value, held = quote(name), f"TRY_CAST({quote(name)} AS {kind})"
    if not _is_compared(kind, seen):
        return value
    lost = _lost(value, held, parse(kind))
    if seen == "DOUBLE" and digits(parse(kind)) is not None:
        lost += f" OR abs({held}) >= {_EXACT_MAX} AND regexp_matches({value}, '[.e]')"
    return (
        f"CASE WHEN {held} IS NULL AND {value} IS NOT NULL OR {lost}"
        f" THEN error({literal(WRITTEN + name)}) ELSE {held} END AS {value}"
    )


def _is_compared(kind: str, seen: str) -> bool:
    return seen != "BOOLEAN" and bool(_lost("", "", parse(kind)))


def _lost(value: str, held: str, target: Type) -> str:
    """Return the condition for a text that the type holds otherwise; empty if there is none."""
    size = digits(target)
    if size is not None:
        wide = f"DECIMAL({DECIMAL_DIGITS_MAX},{max(0, DECIMAL_DIGITS_MAX - size[0])})"
        return f"TRY_CAST({value} AS {wide}) <> {held}"
    match target.name:
        case "DOUBLE":  # a fraction is rounded to the nearest one by whoever writes it
            whole = f"regexp_full_match({value}, '[+-]?\\d+')"
            return f"{whole} AND {_differ(value, held, 'HUGEINT')}"
        case "DATE":
            return _differ(value, held, "TIMESTAMP")
        case "TIME" | "TIMESTAMP":
            return f"regexp_matches({value}, {literal(_LOST_IN_TIME)})"
        case _:
            return ""


def _differ(value: str, held: str, kind: str) -> str:
    return f"TRY_CAST({value} AS {kind}) IS DISTINCT FROM TRY_CAST({held} AS {kind})"


def _with_numbers(seen: Type, target: Type) -> Type:
    """Return a type with those numbers in it that are seen in JSON, which isn't rounded then."""
    if target.fields:
        parts = dict(seen.fields)
        return Type(
            target.name,
            tuple(
                (name, _with_numbers(parts.get(name, part), part)) for name, part in target.fields
            ),
        )
    is_number = digits(seen) is not None or seen.name == "DOUBLE"
    wants_number = digits(target) is not None or target.name in ("DOUBLE", "BOOLEAN")
    return seen if is_number and wants_number else target
