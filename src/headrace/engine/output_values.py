"""Values that a command wrote as text or JSON, read in the types of its table without a change.

DuckDB's own reading rounds: `10.75` is 11 as BIGINT, a date loses its time of day, and a TIMESTAMP
its offset (1.5.5). Here such a value is an error.
"""

from __future__ import annotations

from headrace.lake.schema import WRITTEN
from headrace.lake.sqltext import literal, quote
from headrace.lake.types import DECIMAL_DIGITS_MAX, Type, digits, parse

_TEMPORAL = ("DATE", "TIME", "TIMESTAMP")
_LOST_IN_TIME = r"\.\d{6}\d*[1-9]|\d\d?:\d\d.*[+-]\d\d(:?\d\d)?\s*$"
"""Nanoseconds, or an offset from UTC: a TIME or TIMESTAMP has neither."""
_EXACT_MAX = 1 << 53
"""From here on not every whole number is a DOUBLE, as which JSON's fractions are read."""


_AS_SEEN = {
    "BOOLEAN": ("exact", "DOUBLE"),
    "DOUBLE": ("exact", "VARCHAR"),
    "exact": ("DOUBLE", "VARCHAR"),
}
"""Type of a column → types of values which DuckDB would change in reading them as that type.

`exact` stands for whole numbers and decimals.
"""


def read_type(seen: str, kind: str) -> str:
    """Return the type in which DuckDB reads JSON values of the type `seen` for a column."""
    was, target = parse(seen), parse(kind)
    if was.fields:
        return seen if _are_alike(was, target) else kind
    if target.name in _TEMPORAL:
        return "VARCHAR"
    return seen if _sort(was) in _AS_SEEN.get(_sort(target), ()) else kind


def _sort(kind: Type) -> str:
    return "exact" if digits(kind) is not None else kind.name


def exact(name: str, read_as: str, kind: str) -> str:
    """Return the expression of a column that is read in one type and wanted in another.

    It raises an error for a value that the column's type doesn't hold. Other differences of the two
    types are left to the cast into the table, which checks each value.
    """
    value, target = quote(name), parse(kind)
    lossy = _lossy_text(value, target) if read_as == "VARCHAR" != kind else ""
    if read_as == "DOUBLE" and digits(target) is not None:
        return f"{_refused(f'abs({value}) >= {_EXACT_MAX}', name, value)} AS {value}"
    if not lossy:
        return value
    return f"{_refused(lossy, name, f'CAST({value} AS {kind})')} AS {value}"


def has_text_check(kind: str) -> bool:
    """Whether values of a type are read as text first, since some texts would change."""
    return bool(_lossy_text("x", parse(kind)))


def _refused(lossy: str, name: str, value: str) -> str:
    return f"CASE WHEN {lossy} THEN error({literal(WRITTEN + name)}) ELSE {value} END"


def _lossy_text(value: str, target: Type) -> str:
    """Return the condition for texts that the type doesn't hold as they are; empty if it is never.

    What is no value of the type at all is left to the cast.
    """
    held = f"TRY_CAST({value} AS {target.text})"
    size = digits(target)
    if size is not None:
        wide = f"DECIMAL({DECIMAL_DIGITS_MAX},{max(0, DECIMAL_DIGITS_MAX - size[0])})"
        return f"TRY_CAST({value} AS {wide}) IS DISTINCT FROM {held}"
    if target.name == "DOUBLE":
        whole = f"regexp_full_match({value}, '[+-]?\\d+')"
        return (
            f"{whole} AND TRY_CAST({value} AS HUGEINT) IS DISTINCT FROM TRY_CAST({held} AS HUGEINT)"
        )
    if target.name == "DATE":
        return f"TRY_CAST({value} AS TIMESTAMP) IS DISTINCT FROM CAST({held} AS TIMESTAMP)"
    if target.name in _TEMPORAL:
        return f"regexp_matches({value}, {literal(_LOST_IN_TIME)})"
    return ""


def _are_alike(was: Type, target: Type) -> bool:
    """Whether two nested types have the same fields, which may differ in their types."""
    return [name for name, _ in was.fields] == [name for name, _ in target.fields] and all(
        _are_alike(part, wanted)
        for (_, part), (_, wanted) in zip(was.fields, target.fields, strict=True)
    )
