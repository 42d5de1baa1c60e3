"""Columns' values as they come out of a scan: one JSON text a partition, of one list, or of one count of each value, a column.

DuckDB writes JSON and msgspec reads it several times faster than rows come out of it as Python objects, and nothing else needs to be
loaded for it. What is described (`describing`) doesn't depend on the order of rows, so the lists have none.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from headrace.lake.session import quote

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
NUMBERS = (*INTEGERS, "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
TELLING = (*INTEGERS, "VARCHAR", "BOOLEAN")
"""Types whose values come out as they are, so that their nulls and bounds needn't be asked for as well."""


class ValueKind(enum.Enum):
    """What is told of a column's values."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    """Microseconds since 1970 UTC."""
    WALL_CLOCK = "wall clock"
    """A time without zone: microseconds since 1970 there."""
    OTHER = "other"
    """Only how many different ones there are."""


def kind_of(column_type: str) -> ValueKind | None:
    """How values of DuckDB's type are described; None for those that aren't."""
    if column_type.endswith("]"):
        return None
    if column_type.startswith(NUMBERS):
        return ValueKind.NUMBER
    if column_type.startswith(("VARCHAR", "ENUM")):
        return ValueKind.TEXT
    if column_type == "BOOLEAN":
        return ValueKind.BOOLEAN
    if column_type.startswith("TIMESTAMP"):
        return ValueKind.INSTANT if column_type.endswith("WITH TIME ZONE") else ValueKind.WALL_CLOCK
    return ValueKind.OTHER if column_type.startswith(("DATE", "TIME")) else None


class ProfiledColumn(msgspec.Struct, frozen=True):
    """A column whose values are described."""

    name: str
    type: str
    kind: ValueKind
    counted: bool = False
    """Its values come with how often they are there, instead of one by one: that is less where they are few."""


def aggregate(columns: Sequence[ProfiledColumn], only: str | None = None) -> str:
    """The aggregate that `columns_of` takes apart: over the rows of which the condition `only` is true. With one nothing may be `counted`,
    since nobody would know how many rows there were."""
    plain = [_plain(quote(column.name), column.type) for column in columns]
    if only is None:
        gathered = [f"{'histogram' if column.counted else 'list'}({value})" for column, value in zip(columns, plain, strict=True)]
    else:  # of few rows among many: the condition is looked at once a row, not once a column
        rows = f"list(struct_pack({_fields(plain)})) FILTER (WHERE {only})"
        gathered = [f"list_transform({rows}, lambda row: row.c{at})" for at in range(len(plain))]
    return f"CAST(to_json(struct_pack({_fields(gathered)})) AS VARCHAR)"


def _fields(values: Sequence[str]) -> str:
    return ", ".join(f"c{at} := {value}" for at, value in enumerate(values))


def columns_of(text: str, columns: Sequence[ProfiledColumn], rows: int) -> Iterator[Values]:
    """The values of each column in turn, of so many rows."""
    result = _decoder(tuple(columns)).decode(text)
    for column, values in zip(columns, msgspec.structs.astuple(result), strict=True):
        yield Values.counted(values or {}, rows) if column.counted else Values.listed(values or [])


class Values(msgspec.Struct):
    """A column's values, in no order, without nulls and what can't be described (an infinite number): one by one, or how many there are of
    each. `known` is how many there are, `distinct` how many different ones."""

    rows: int
    known: int
    distinct: int
    values: list[Any] | dict[Any, int]

    @classmethod
    def listed(cls, values: list[Any]) -> Values:
        """Of a list with None for nulls."""
        distinct = set(values)
        if None not in distinct:
            return cls(len(values), len(values), len(distinct), values)
        known = [value for value in values if value is not None]
        return cls(len(values), len(known), len(distinct) - 1, known)

    @classmethod
    def counted(cls, counts: dict[Any, int], rows: int) -> Values:
        """Of how many there are of each; nulls are what is missing to so many rows."""
        return cls(rows, sum(counts.values()), len(counts), counts)


@lru_cache(maxsize=256)
def _decoder(columns: tuple[ProfiledColumn, ...]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Columns", [(f"c{at}", _json_type(column)) for at, column in enumerate(columns)]))


def _json_type(column: ProfiledColumn) -> Any:
    """What a column is in the JSON. Values that are counted are names there, of which msgspec makes numbers again."""
    plain: Any = _PLAIN.get(column.kind) or (int if column.type in INTEGERS else float)
    if column.counted:
        return types.GenericAlias(dict, (str if plain is bool else plain, int)) | None
    return types.GenericAlias(list, (plain | None,)) | None


_PLAIN: Mapping[ValueKind, Any] = {
    ValueKind.TEXT: str,
    ValueKind.BOOLEAN: bool,
    ValueKind.INSTANT: int,
    ValueKind.WALL_CLOCK: int,
    ValueKind.OTHER: int | str,
}


def _plain(name: str, column_type: str) -> str:
    """A value as JSON can hold it exactly."""
    if column_type in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isfinite({name}) THEN CAST({name} AS DOUBLE) + 0 END"  # which makes 0 of -0
    if column_type.startswith(("HUGEINT", "DECIMAL")):
        return f"CAST({name} AS DOUBLE)"
    if column_type.startswith("TIMESTAMP"):
        return f"epoch_us({name})"
    if column_type == "DATE":
        return f"{name} - DATE '1970-01-01'"
    return name if column_type in INTEGERS or column_type in ("VARCHAR", "BOOLEAN") else f"CAST({name} AS VARCHAR)"
