"""Types of a seed's columns: what dbt infers from its values, where Headrace infers another type.

dbt reads seeds by agate with its own null values ("null" and empty cells), one format of dates, and
numbers in any notation: `007` is 7.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb

from headrace.connect.formats.text_values import column_types
from headrace.extension import literal
from headrace.lake.type_inference import INSTANT, infer_types

_NULLS = {"", "null"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d|T\d\d:\d\d(:\d\d([.,]\d+)?)?)")
_INTEGER_MAX = 2**31 - 1
_NUMBERS = {"INTEGER", "BIGINT", "DOUBLE"}


@dataclass(slots=True)
class SeedTypes:
    """Types of dbt that a contract must say, and what no contract can say."""

    types: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def seed_types(path: Path, text: str, delimiter: str, configured: Iterable[str]) -> SeedTypes:
    """Return where dbt's types differ from Headrace's; nothing for a file that can't be read.

    `configured` are columns whose types the project says itself.
    """
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        header = rows[0]
        inferred, words = _inferred(path, delimiter, len(header))
    except (csv.Error, duckdb.Error, IndexError, TypeError, ValueError):
        return SeedTypes()
    result = SeedTypes()
    for position, name in enumerate(header):
        kind = _dbt_type([row[position] for row in rows[1:] if position < len(row)])
        if kind and name not in configured and _differ(kind, inferred[position]):
            result.types[name] = kind
    if words:
        result.problem = f"cells with {', '.join(words)} are null here, and text in dbt"
    return result


def _inferred(path: Path, delimiter: str, width: int) -> tuple[Sequence[str], list[str]]:
    """Return the types that Headrace infers, and the words that it reads as null."""
    names = [f"c{position}" for position in range(1, width + 1)]
    rows = (
        f"read_csv({literal(str(path))}, auto_detect=false, header=true, quote='\"', escape='\"',"
        f" delim={literal(delimiter)}, nullstr='',"
        f" columns={column_types(names, ['VARCHAR'] * width)})"
    )
    with duckdb.connect() as connection:
        learnt = infer_types(connection, rows, width)
    return learnt.types, [word for word in learnt.null if word.lower() not in _NULLS]


def _differ(kind: str, inferred: str) -> bool:
    """Return whether a column has other values than in dbt, not only a wider type."""
    if {kind, inferred} <= _NUMBERS or inferred == INSTANT:
        return False
    return kind != inferred


def _dbt_type(cells: Sequence[str]) -> str:
    """Return the type that dbt infers; empty if all values are null, or no type can hold them."""
    values = [cell.strip() for cell in cells if cell.strip().lower() not in _NULLS]
    if not values:
        return ""
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) == len(values):
        return _number_type(known)
    if all(map(_DATE.fullmatch, values)):
        return "DATE"
    if all(map(_TIMESTAMP.fullmatch, values)):
        return "TIMESTAMP"
    if all(value.lower() in ("true", "false") for value in values):
        return "BOOLEAN"
    return "VARCHAR"


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _number_type(numbers: Sequence[Decimal]) -> str:
    """Return dbt's type of numbers; empty if its INTEGER can't hold them, and dbt stops."""
    if any(number != number.to_integral_value() for number in numbers):
        return "DOUBLE"
    return "INTEGER" if all(abs(number) <= _INTEGER_MAX for number in numbers) else ""
