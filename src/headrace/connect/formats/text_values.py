"""Values that are text, as in CSV and JSON lines: cast strictly, column by column."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.connect.deliveries import (
    IN_CONTRACT,
    BadColumn,
    Format,
    SourceSchema,
    TypeDrift,
    printable,
)
from headrace.connect.formats.registry import FileHeader
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.model.texts import marked

if TYPE_CHECKING:
    import duckdb


# Strict casts from text to a type. DuckDB's own casts (and its CSV reader) are too lenient for
# numbers that must be right:
#
# `'1.5'::BIGINT` is 2, `'0x10'::BIGINT` 16, `'2013-02-03x'::DATE` a date, `'1e400'::DOUBLE` is
# infinite, `'19.999999999999999999'::DOUBLE` 20, `'1.005'::DECIMAL(9,2)` rounds,
# `'…10:00:00+05'::TIMESTAMP` drops the offset and nanoseconds; and `read_csv` with a TIMESTAMPTZ
# column turns `2013-02-30 10:00:00` into NULL. So files are read as text, and each column has a
# value and a condition for bad values.

_WHOLE_NUMBERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}
_DIGITS_MAX = {"DOUBLE": 17, "FLOAT": 9}
"""Digits that tell each number of the type from all others."""
LONG_FRACTION = 10
"""Decimals from which on a fraction is a DOUBLE that a program wrote, not an amount."""
_SHORT = {"DOUBLE": 16, "FLOAT": 7}
"""Numbers with fewer characters, and without an exponent, survive the type."""
_IS_CODE = (
    "({text} < '1' OR translate({text}, 'eE', '') <> {text}) AND"
    " regexp_full_match({text}, ' *([-+]?0[0-9]+|[+][0-9]+|[0-9]+[eE][0-9]+) *')"
)
"""The condition for a whole number as only codes are written, cheap for most others."""
_DECIMAL_TYPE = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9:]+(\.[0-9]{0,6}0*)?"
_SHAPES = {
    "DATE": _ISO_DATE,
    "TIME": rf"([01]?[0-9]|2[0-3]):{_CLOCK}",
    "TIMESTAMP": rf"{_ISO_DATE}([ T]{_CLOCK})?",
    "TIMESTAMP WITH TIME ZONE": rf"{_ISO_DATE}([ T]{_CLOCK} ?([zZ]|[-+][0-9:]+|[A-Za-z_/]+)?)?",
    "INTERVAL": r"[^.]*(\.[0-9]{0,6}0*([^0-9.][^.]*)?)*",
}
"""Types of times, each with the only texts that are accepted: in ISO 8601, to the microsecond.

A pinned date format is accepted as well, but never instead: ISO 8601 is unambiguous.
"""

_USUAL = {
    "DATE": "strlen({text}) = 10",
    "TIMESTAMP": "strlen({text}) = 19 AND {text}[11] = ' '",
}
"""Types whose values DuckDB writes as one of their shapes, with a condition for such a text."""


class Cast(NamedTuple):
    """SQL over one text column: its `value` in the type, and `bad`, the condition for bad values.

    `bad` is None if the cast itself refuses all invalid values. Both are NULL for NULL.
    """

    value: str
    bad: str | None


def strict_cast(
    text: str, type_name: str, form: Format, *, trying: bool = False, column: str | None = None
) -> Cast:
    """Return the cast of the SQL expression `text` (VARCHAR) to `type_name`, a DuckDB type.

    With `trying`, a value that can't be cast is NULL instead of an error. In a `column` whose type
    was learnt, `007`, `+45` and `1E5` may be codes, and aren't numbers, and 0 and 1 are numbers;
    where it is declared, any DOUBLE may be written with more digits than needed:
    `-8018251073761.1387`.
    """
    cast = _plain_cast(text, type_name, form, trying=trying, stated=column in form.stated)
    name = type_name.upper()
    if column is None or column in form.stated:
        return cast
    if name == "BOOLEAN":
        return Cast(cast.value, f"trim({text}) IN ('0', '1')")
    if name not in {*_WHOLE_NUMBERS, "DOUBLE"}:
        return cast
    return Cast(cast.value, f"({_IS_CODE.format(text=text)} OR {cast.bad})")


def _plain_cast(text: str, type_name: str, form: Format, *, trying: bool, stated: bool) -> Cast:
    name = type_name.upper()
    cast = "TRY_CAST" if trying else "CAST"
    plain = f"{cast}({text} AS {type_name})"
    if name == "VARCHAR":
        return Cast(text, None)
    if name in _WHOLE_NUMBERS:
        # Numbers in their usual form survive the cast unchanged; only others need the close check,
        # which takes six times as long.
        return Cast(
            plain,
            f"CASE WHEN CAST({plain} AS VARCHAR) = {text} THEN false ELSE ltrim({text}, '"
            " +-0123456789') <> '' END",
        )
    if name in _SHORT:
        return Cast(plain, _rounded(text, plain, name, shortest=name == "DOUBLE" and not stated))
    if match := _DECIMAL_TYPE.fullmatch(name):
        return Cast(plain, f"regexp_matches({text}, '[eExX_]|\\.[0-9]{{{match[2]}}}[0-9]*[1-9]')")
    shape = _SHAPES.get(name)
    if shape is None:
        return Cast(plain, None)
    iso = f"regexp_full_match({text}, {literal(shape)})"
    written = (
        form.date_format
        if name == "DATE"
        else form.timestamp_format
        if name == "TIMESTAMP"
        else None
    )
    if written is None:
        return Cast(plain, _not_iso(text, name, plain, iso))
    parsed = f"{'try_strptime' if trying else 'strptime'}({text}, {literal(written)})"
    cut = f" OR date_trunc('day', {parsed}) <> {parsed}" if name == "DATE" else ""
    return Cast(
        f"CASE WHEN {iso} THEN {plain} ELSE {cast}({parsed} AS {type_name}) END",
        f"NOT {iso} AND (year({parsed}) < 1000{cut})",
    )


def _rounded(text: str, plain: str, name: str, *, shortest: bool) -> str:
    """Return the condition for a number that isn't the text's, or isn't finite.

    `19.999999999999999999` would be 20.0 as a DOUBLE, 83094542621.77251 would be …7725,
    9007199254740993 one less, 1e-400 zero, and `1_5` is no number. The number is compared with as
    many digits as the text has, since programs write 0.1 as `0.10000000000000001`; where its
    `shortest` way of being written counts, only a long fraction is.
    """
    digits = _significant(text)
    written = (
        f"format('{{:.' || greatest(least(length({digits}), {_DIGITS_MAX[name]}) - 1, 0)"
        f" || 'e}}', {plain})"
    )
    if shortest:
        decimals = f"rtrim(split_part(split_part(lower({text}), 'e', 1), '.', 2), '0 ')"
        written = (
            f"CASE WHEN strlen({decimals}) < {LONG_FRACTION} THEN CAST({plain} AS VARCHAR)"
            f" ELSE {written} END"
        )
    return (
        f"NOT isfinite({plain}) OR CASE WHEN length({text}) < {_SHORT[name]}"
        f" AND translate({text}, 'eE_', '') = {text} OR CAST({plain} AS VARCHAR) = {text}"
        f" THEN false ELSE {_significant(written)} <> {digits} END"
    )


def writes_long_fraction(number: str, double: float) -> bool:
    """Whether `number`, a valid one, is `double` written with at least LONG_FRACTION decimals."""
    decimals = number.lower().partition("e")[0].partition(".")[2].rstrip("0")
    return len(decimals) >= LONG_FRACTION and _writes(number, double)


def _writes(number: str, double: float) -> bool:
    """Whether `double` has the digits of `number`, written with as many and at most 17."""
    digits = number.lower().partition("e")[0].replace(".", "").strip("-+0")
    precision = max(min(len(digits), _DIGITS_MAX["DOUBLE"]), 1) - 1
    return Decimal(f"{double:.{precision}e}") == Decimal(number)


def _significant(number: str) -> str:
    """Return SQL for a number's digits without the zeros before and after them."""
    return f"trim(translate(split_part(lower({number}), 'e', 1), ' +-.', ''), '0')"


def _not_iso(text: str, name: str, plain: str, iso: str) -> str:
    """Return the condition for text that isn't ISO 8601, cheap for text as DuckDB writes it.

    The length of such a text leaves out infinity, years before 1 and years after 9999.
    """
    usual = _USUAL.get(name)
    if usual is None:
        return f"NOT {iso}"
    return (
        f"CASE WHEN {usual.format(text=text)} AND CAST({plain} AS VARCHAR) = {text} THEN false"
        f" ELSE NOT {iso} END"
    )


def checked_cast(cast: Cast, message: str) -> str:
    """Return the value; a bad one raises an error in the statement that reads it."""
    if cast.bad is None:
        return cast.value
    return f"CASE WHEN {cast.bad} THEN error({literal(message)}) ELSE {cast.value} END"


def bad_value_condition(text: str, type_name: str, form: Format, column: str | None = None) -> str:
    """Return the condition for non-null text that isn't a value of the type; it never raises."""
    cast = strict_cast(text, type_name, form, trying=True, column=column)
    if cast.value == text:
        return "false"
    return (
        f"({text} IS NOT NULL AND ({cast.value} IS NULL OR coalesce({cast.bad or 'false'}, false)))"
    )


# Text columns are read as `c1 … cn`, then cast.

COLUMNS_PER_PASS = 64
BAD_VALUES_MAX = 1_000
ROWS_SEARCHED_MAX = 5_000_000


def column_types(names: Sequence[str], types: Sequence[str]) -> str:
    """Return `columns=` of a DuckDB reader: a struct of names and types."""
    return (
        "{"
        + ", ".join(
            f"{literal(name)}: {literal(kind)}" for name, kind in zip(names, types, strict=True)
        )
        + "}"
    )


def selected(
    rows_sql: str,
    form: Format,
    header: FileHeader,
    columns: Sequence[LakeColumn],
    *,
    more: str = "",
) -> str:
    """Select `columns` by name from the text columns `c1 … cn`, and then `more`, if given.

    NULL for columns that the file lacks.
    """
    at = {name: position for position, name in enumerate(header.names, 1)}
    values = [
        f"{value_sql(at.get(column.name), column, form)} AS {quote(column.name)}"
        for column in columns
    ]
    values += [more] if more else []
    return f"SELECT {', '.join(values)} FROM {rows_sql}"


def value_sql(position: int | None, column: LakeColumn, form: Format) -> str:
    """Return SQL for the text column at `position` in its type; invalid values raise an error."""
    if position is None:
        return f"CAST(NULL AS {column.type})"
    if column.type == "JSON":
        return f"c{position}"
    if column.name in form.lenient:
        cast_sql = strict_cast(f"c{position}", column.type, form, trying=True).value
        return (
            f"CASE WHEN {bad_value_condition(f'c{position}', column.type, form, column.name)} THEN"
            f" NULL ELSE {cast_sql} END"
        )
    return checked_cast(
        strict_cast(f"c{position}", column.type, form, column=column.name),
        f"column {position}: a value isn't {column.type}",
    )


class Bad(NamedTuple):
    """A column with values that don't parse.

    `position` is its place in the file (from 0), `values` holds at most BAD_VALUES_MAX of them as
    text.
    """

    position: int
    name: str
    type: str
    rows: int
    values: frozenset[str]


def bad_columns(
    connection: duckdb.DuckDBPyConnection, rows_sql: str, header: FileHeader, schema: SourceSchema
) -> list[Bad]:
    """Return each column with values that don't parse as its type; no value raises an error."""
    types = {column.name: column.type for column in schema.columns}
    candidates = [
        (position, name, bad_value_condition(f"c{position}", types[name], schema.format, name))
        for position, name in enumerate(header.names, 1)
        if types.get(name, "JSON") not in ("JSON", "VARCHAR")
    ]
    bads: list[Bad] = []
    for start in range(0, len(candidates), COLUMNS_PER_PASS):
        some = candidates[start : start + COLUMNS_PER_PASS]
        flags = ", ".join(
            f"c{position}, {condition} AS b{position}" for position, _, condition in some
        )
        facts = ", ".join(
            f"count(*) FILTER (b{p}), arg_min(c{p}, c{p}, {BAD_VALUES_MAX}) FILTER (b{p})"
            for p, _, _ in some
        )
        row = connection.execute(f"SELECT {facts} FROM (SELECT {flags} FROM {rows_sql})").fetchone()
        assert row is not None
        counted = zip(some, row[::2], row[1::2], strict=True)
        bads += [
            Bad(position - 1, name, types[name], rows, frozenset(values))
            for (position, name, _), rows, values in counted
            if rows
        ]
    return bads


_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def type_to_declare(value: str, type_name: str) -> str:
    """Return the type of numbers that takes `value` if a contract declares it.

    Empty if none does, or if nobody needs to: a column of whole numbers, `type_name`, may become
    DOUBLE by itself.
    """
    text, name = value.strip(), type_name.upper()
    is_whole = name in _WHOLE_NUMBERS
    if not _NUMBER.fullmatch(text) or not (is_whole or name.startswith(("DOUBLE", "DECIMAL"))):
        return ""
    number = Decimal(text)
    if is_whole and text.lstrip("+-").isdigit() and -(2**63) <= number < 2**63:
        return "BIGINT"
    if not name.startswith("DECIMAL") and _writes(text, float(text)):
        return "" if is_whole and Decimal(repr(float(text))) == number != int(number) else "DOUBLE"
    scale = len(text.partition(".")[2].rstrip("0"))
    has_exponent = "e" in text.lower()
    return "" if has_exponent or abs(number) >= 10 ** (38 - scale) else f"DECIMAL(38,{scale})"


def _declaration(bad: Bad, value: str) -> str:
    kind = type_to_declare(value, bad.type)
    return f"declare {printable(bad.name)} as {kind} or VARCHAR{IN_CONTRACT}" * bool(kind)


def located(
    bad: Sequence[Bad], rows: Iterator[tuple[int, Sequence[str | None]]]
) -> list[BadColumn]:
    """Find the line of each column's first bad value in `rows` (line and cells).

    At most ROWS_SEARCHED_MAX rows are read. A value that isn't found is reported without its line.
    """
    open_: dict[str, Bad] = {item.name: item for item in bad}
    at: dict[str, tuple[int, str]] = {}
    for line, cells in itertools.islice(rows, ROWS_SEARCHED_MAX):
        for name, item in list(open_.items()):
            cell = next(iter(cells[item.position : item.position + 1]), None)
            if cell in item.values:
                at[name] = line, cell
                del open_[name]
        if not open_:
            break
    return [
        BadColumn(
            item.name, item.type, item.rows, printable(value), line, hint=_declaration(item, value)
        )
        for item in bad
        for line, value in (at.get(item.name, (None, min(item.values))),)
    ]


def drift_of(columns: Sequence[BadColumn], *, unit: str = "line") -> TypeDrift:
    """Return the drift of these columns, described in one sentence.

    `unit` is the unit of `BadColumn.line`; other units than lines are dropped from the columns.
    """
    text = "; ".join(_described(column, unit) for column in columns[:3]) + (
        f"; and {len(columns) - 3} more columns" if len(columns) > 3 else ""
    )
    return TypeDrift(
        tuple(
            column if unit == "line" else msgspec.structs.replace(column, line=None)
            for column in columns
        ),
        text,
    )


def _described(bad: BadColumn, unit: str) -> str:
    where = f" at {unit} {bad.line}" if bad.line else ""
    rows = "1 row" if bad.rows == 1 else f"{bad.rows:,} rows"
    return (
        f"column {printable(bad.column)}: first value that isn't {bad.type_written}:"
        f" '{marked(bad.value)}'{where}, {rows}{f'; {bad.hint}' if bad.hint else ''}"
    )
