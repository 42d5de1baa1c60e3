"""From text to a type, strictly. DuckDB's own casts (and its CSV reader) are too kind for numbers that can't lie:

`'1.5'::BIGINT` is 2, `'0x10'::BIGINT` 16, `'2013-02-03x'::DATE` a date, `'…10:00:00+05'::TIMESTAMP` drops the offset,
`'1.005'::DECIMAL(9,2)` rounds, `'1e400'::DOUBLE` is infinite; and `read_csv` with a TIMESTAMPTZ column turns
`2013-02-30 10:00:00` into NULL. So files are read as text, and each column has a value and a condition that condemns it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from headrace.connect.deliveries import Format
from headrace.lake.sqltext import literal

_WHOLE_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ISO_TIMESTAMP = _ISO_DATE + r"([ T][0-9:.]+)?"
_ISO_INSTANT = _ISO_DATE + r"([ T][0-9:.]+ ?([zZ]|[-+][0-9:]+|[A-Za-z_/]+)?)?"
_SHAPES = {
    "DATE": _ISO_DATE, "TIMESTAMP": _ISO_TIMESTAMP, "TIMESTAMP_S": _ISO_TIMESTAMP, "TIMESTAMP_MS": _ISO_TIMESTAMP,
    "TIMESTAMP_NS": _ISO_TIMESTAMP, "TIMESTAMP WITH TIME ZONE": _ISO_INSTANT,
}  # fmt: skip
"""Types of ISO 8601 text, and all that a value may be written as. A pinned format of dates is another way beside it, never
instead: ISO 8601 can't be mistaken for anything else."""


class Cast(NamedTuple):
    """SQL over one text column: its `value` in the type, and `bad`, true where the value would not be what the text says.

    `bad` is None where the cast itself refuses all that is wrong. Neither is evaluated for NULL as anything but NULL.
    """

    value: str
    bad: str | None


def strict(text: str, type_name: str, form: Format, *, trying: bool = False) -> Cast:
    """How the SQL expression `text` (VARCHAR) becomes `type_name`, which is DuckDB's name of a type.

    With `trying` a value that can't be cast is NULL instead of an error.
    """
    name = type_name.upper()
    cast = "TRY_CAST" if trying else "CAST"
    plain = f"{cast}({text} AS {type_name})"
    if name == "VARCHAR":
        return Cast(text, None)
    if name in _WHOLE_NUMBERS:
        # Numbers as everybody writes them come back as they were; only others are looked at closely, which is six times dearer.
        return Cast(plain, f"CASE WHEN CAST({plain} AS VARCHAR) = {text} THEN false ELSE ltrim({text}, ' +-0123456789') <> '' END")
    if name in ("DOUBLE", "FLOAT"):
        return Cast(plain, f"NOT isfinite({plain})")
    if match := _DECIMAL.fullmatch(name):
        more = rf"[eExX_]|\.[0-9]{{{match[2]}}}[0-9]*[1-9]"
        return Cast(plain, f"regexp_matches({text}, {literal(more)})")
    shape = _SHAPES.get(name)
    if shape is None:
        return Cast(plain, None)
    iso = f"regexp_full_match({text}, {literal(shape)})"
    written = form.date_format if name == "DATE" else form.timestamp_format if name == "TIMESTAMP" else None
    if written is None:
        return Cast(plain, f"NOT {iso}")
    moment = f"{'try_strptime' if trying else 'strptime'}({text}, {literal(written)})"
    cut = f" OR date_trunc('day', {moment}) <> {moment}" if name == "DATE" else ""
    return Cast(f"CASE WHEN {iso} THEN {plain} ELSE {cast}({moment} AS {type_name}) END", f"NOT {iso} AND (year({moment}) < 1000{cut})")


def checked(cast: Cast, message: str) -> str:
    """The value, or an error in the statement that reads it."""
    if cast.bad is None:
        return cast.value
    return f"CASE WHEN {cast.bad} THEN error({literal(message)}) ELSE {cast.value} END"


def wrong(text: str, type_name: str, form: Format) -> str:
    """A condition that never raises: whether the text is there and isn't a value of the type."""
    cast = strict(text, type_name, form, trying=True)
    if cast.value == text:
        return "false"
    return f"({text} IS NOT NULL AND ({cast.value} IS NULL OR coalesce({cast.bad or 'false'}, false)))"
