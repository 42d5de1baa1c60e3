"""Strict casts from text to a type, for values that must be right.

DuckDB's own casts (and its CSV reader) are too lenient: `'1.5'::BIGINT` is 2, `'0x10'::BIGINT` 16,
`'2013-02-03x'::DATE` a date, `'1e400'::DOUBLE` is infinite, `'19.999999999999999999'::DOUBLE` 20,
`'1.005'::DECIMAL(9,2)` rounds, `'…10:00:00+05'::TIMESTAMP` drops the offset and nanoseconds; and
`read_csv` with a TIMESTAMPTZ column turns `2013-02-30 10:00:00` into NULL. So files are read as
text, and each column has a value and a condition for bad values.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple, Protocol

from headrace.lake.sqltext import NOT_IN_PARQUET, literal

WHOLE_NUMBERS = {
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
CODE_PATTERN = " *([-+]?0[0-9]+|[+][0-9]+|[0-9]+[eE][0-9]+) *"
"""A whole number as only codes are written."""
_DECIMAL_TYPE = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
ISO_DATE = r"([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}"
"""From year 1 on: DuckDB takes `0000-01-01` for a day of 1 BC."""
_CLOCK = r"[0-9:]+(\.[0-9]{0,6}0*)?"
_SHAPES = {
    "DATE": ISO_DATE,
    "TIME": rf"([01]?[0-9]|2[0-3]):{_CLOCK}",
    "TIMESTAMP": rf"{ISO_DATE}([ T]{_CLOCK})?",
    "TIMESTAMP WITH TIME ZONE": rf"{ISO_DATE}([ T]{_CLOCK} ?([zZ]|[-+][0-9:]+|[A-Za-z_/]+)?)?",
    "TIME WITH TIME ZONE": rf"{_CLOCK}([-+][0-9:]+)?",
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


class TextForm(Protocol):
    """How values are written in text."""

    @property
    def date_format(self) -> str | None:
        """The only way of writing dates besides ISO 8601."""

    @property
    def timestamp_format(self) -> str | None:
        """The only way of writing timestamps besides ISO 8601."""

    @property
    def stated(self) -> Collection[str]:
        """Columns whose type is declared: `007` is a number there."""


class _Iso(NamedTuple):
    date_format: str | None = None
    timestamp_format: str | None = None
    stated: tuple[str, ...] = ()


ISO = _Iso()
"""Dates and times in ISO 8601 only, and no declared types."""


class Cast(NamedTuple):
    """SQL over one text column: its `value` in the type, and `bad`, the condition for bad values.

    `bad` is None if the cast itself refuses all invalid values. Both are NULL for NULL.
    """

    value: str
    bad: str | None


def strict_cast(
    text: str, type_name: str, form: TextForm, *, trying: bool = False, column: str | None = None
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
    if name not in {*WHOLE_NUMBERS, "DOUBLE"}:
        return cast
    return Cast(cast.value, f"({is_code(text)} OR {cast.bad})")


def is_code(text: str) -> str:
    """Return the condition for text that may be a code, where a number has no need of it: `007`."""
    # The first condition is cheap, and false for most other numbers.
    return (
        f"({text} < '1' OR translate({text}, 'eE', '') <> {text}) AND"
        f" regexp_full_match({text}, {literal(CODE_PATTERN)})"
    )


def _plain_cast(text: str, type_name: str, form: TextForm, *, trying: bool, stated: bool) -> Cast:
    name = type_name.upper()
    cast = "TRY_CAST" if trying else "CAST"
    plain = f"{cast}({text} AS {type_name})"
    if name == "VARCHAR":
        return Cast(text, None)
    if name in WHOLE_NUMBERS:
        # Numbers in their usual form survive the cast unchanged; only others need the close check,
        # which takes six times as long.
        return Cast(
            plain,
            f"CASE WHEN CAST({plain} AS VARCHAR) = {text} THEN false ELSE ltrim({text}, '"
            " +-0123456789') <> '' END",
        )
    if name in _SHORT:
        rounded = is_rounded(text, plain, name, shortest=name == "DOUBLE" and not stated)
        return Cast(plain, f"NOT isfinite({plain}) OR {rounded}")
    if match := _DECIMAL_TYPE.fullmatch(name):
        return Cast(plain, f"regexp_matches({text}, '[eExX_]|\\.[0-9]{{{match[2]}}}[0-9]*[1-9]')")
    shape = _SHAPES.get(name)
    if shape is None:
        return Cast(plain, None)
    iso = f"regexp_full_match({text}, {literal(shape)})"
    if name == "INTERVAL":  # DuckDB takes a number alone for seconds
        iso = f"({iso} AND regexp_matches({text}, '[A-Za-z:]'))"
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


def is_rounded(text: str, plain: str, name: str, *, shortest: bool) -> str:
    """Return the condition for text that `plain`, its number as DOUBLE or FLOAT, isn't.

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
        f"CASE WHEN length({text}) < {_SHORT[name]}"
        f" AND translate({text}, 'eE_', '') = {text} OR CAST({plain} AS VARCHAR) = {text}"
        f" THEN false ELSE {_significant(written)} <> {digits} END"
    )


def writes_long_fraction(number: str, double: float) -> bool:
    """Whether `number`, a valid one, is `double` written with at least LONG_FRACTION decimals."""
    decimals = number.lower().partition("e")[0].partition(".")[2].rstrip("0")
    return len(decimals) >= LONG_FRACTION and writes_double(number, double)


def writes_double(number: str, double: float) -> bool:
    """Whether `double` has the digits of `number`, written with as many and at most 17."""
    digits = number.lower().partition("e")[0].replace(".", "").strip("-+0")
    precision = max(min(len(digits), _DIGITS_MAX["DOUBLE"]), 1) - 1
    return Decimal(f"{double:.{precision}e}") == Decimal(number)


def type_to_declare(value: str, type_name: str) -> str:
    """Return the type of numbers that takes `value` if a contract declares it.

    Empty if none does, or if nobody needs to: a column of whole numbers, `type_name`, may become
    DOUBLE by itself.
    """
    text, name = value.strip(), type_name.upper()
    is_whole = name in WHOLE_NUMBERS
    if not _NUMBER.fullmatch(text) or not (is_whole or name.startswith(("DOUBLE", "DECIMAL"))):
        return ""
    number = Decimal(text)
    if is_whole and text.lstrip("+-").isdigit() and -(2**63) <= number < 2**63:
        return "BIGINT"
    if not name.startswith("DECIMAL") and writes_double(text, float(text)):
        return "" if is_whole and Decimal(repr(float(text))) == number != int(number) else "DOUBLE"
    scale = len(text.partition(".")[2].rstrip("0"))
    has_exponent = "e" in text.lower()
    return "" if has_exponent or abs(number) >= 10 ** (38 - scale) else f"DECIMAL(38,{scale})"


def _significant(number: str) -> str:
    """Return SQL for a number's digits without the zeros before and after them."""
    return f"trim(translate(split_part(lower({number}), 'e', 1), ' +-.', ''), '0')"


def _not_iso(text: str, name: str, plain: str, iso: str) -> str:
    """Return the condition for text that isn't ISO 8601 or can't be stored, cheap for usual text.

    The length of such a text leaves out infinity, years before 1 and years after 9999.
    """
    usual = _USUAL.get(name)
    if usual is None:
        return f"NOT {iso} OR {NOT_IN_PARQUET.get(name, 'false').format(plain)}"
    return (
        f"CASE WHEN {usual.format(text=text)} AND CAST({plain} AS VARCHAR) = {text} THEN false"
        f" ELSE NOT {iso} END"
    )


def checked_cast(cast: Cast, message: str) -> str:
    """Return the value; a bad one raises an error in the statement that reads it."""
    if cast.bad is None:
        return cast.value
    return f"CASE WHEN {cast.bad} THEN error({literal(message)}) ELSE {cast.value} END"


def bad_value_condition(
    text: str, type_name: str, form: TextForm, column: str | None = None
) -> str:
    """Return the condition for non-null text that isn't a value of the type; it never raises."""
    cast = strict_cast(text, type_name, form, trying=True, column=column)
    if cast.value == text:
        return "false"
    return (
        f"({text} IS NOT NULL AND ({cast.value} IS NULL OR coalesce({cast.bad or 'false'}, false)))"
    )
