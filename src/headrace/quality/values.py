"""Columns' values as they come out of a scan: one JSON text a partition, of one list, or of one count of each value, a column.

DuckDB writes JSON and msgspec reads it several times faster than rows come out of it as Python objects, and nothing else needs to be
loaded for it. What is described (`describing`) doesn't depend on the order of rows, so the lists have none.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import msgspec

from headrace.lake.session import quote

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
NUMBERS = (*INTEGERS, "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
TELLING = (*INTEGERS, "VARCHAR", "BOOLEAN")
"""Types whose values come out as they are, so that their nulls and bounds needn't be asked for as well."""


class Kind(enum.Enum):
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


def kind_of(column_type: str) -> Kind | None:
    """How values of DuckDB's type are described; None for those that aren't."""
    if column_type.endswith("]"):
        return None
    if column_type.startswith(NUMBERS):
        return Kind.NUMBER
    if column_type.startswith(("VARCHAR", "ENUM")):
        return Kind.TEXT
    if column_type == "BOOLEAN":
        return Kind.BOOLEAN
    if column_type.startswith("TIMESTAMP"):
        return Kind.INSTANT if column_type.endswith("WITH TIME ZONE") else Kind.WALL_CLOCK
    return Kind.OTHER if column_type.startswith(("DATE", "TIME")) else None


class Wanted(msgspec.Struct, frozen=True):
    """A column whose values are described."""

    name: str
    type: str
    kind: Kind
    counted: bool = False
    """Its values come with how often they are there, instead of one by one: that is less where they are few."""


def aggregate(columns: Sequence[Wanted], only: str | None = None) -> str:
    """The aggregate that `columns_of` takes apart: over the rows of which the condition `only` is true. With one nothing may be `counted`,
    since nobody would know how many rows there were."""
    where = "" if only is None else f" FILTER (WHERE {only})"
    gathered = ((at, "histogram" if one.counted else "list", _plain(quote(one.name), one.type)) for at, one in enumerate(columns))
    lists = ", ".join(f"c{at} := {function}({value}){where}" for at, function, value in gathered)
    return f"CAST(to_json(struct_pack({lists})) AS VARCHAR)"


def columns_of(text: str, columns: Sequence[Wanted], rows: int) -> Iterator[Values]:
    """The values of each column in turn, of so many rows."""
    for one, found in zip(columns, _COLUMNS.decode(text).values(), strict=True):
        if one.counted:
            yield _counted(_COUNTS.decode(found) or {}, one, rows)
        else:
            yield Values.of(_LIST.decode(found) or [])


class Values(msgspec.Struct):
    """A column's values, in no order, without nulls and what can't be described (an infinite number); and the different ones."""

    rows: int
    known: list[Any]
    distinct: Collection[Any]

    @classmethod
    def of(cls, values: list[Any]) -> Values:
        """Of a list with None for nulls."""
        distinct = set(values)
        if None not in distinct:
            return cls(len(values), values, distinct)
        distinct.discard(None)
        return cls(len(values), [value for value in values if value is not None], distinct)


_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[Any] | None)
_COUNTS = msgspec.json.Decoder(dict[str, int] | None)
_BOOLEANS = {"true": True, "false": False}


def _counted(counts: Mapping[str, int], one: Wanted, rows: int) -> Values:
    distinct: list[Any]
    match one.kind:
        case Kind.TEXT:
            distinct = list(counts)
        case Kind.BOOLEAN:
            distinct = [_BOOLEANS[text] for text in counts]
        case Kind.NUMBER:
            distinct = list(map(int if one.type in INTEGERS else float, counts))
        case Kind.INSTANT | Kind.WALL_CLOCK:
            distinct = list(map(int, counts))
        case Kind.OTHER:
            distinct = list(counts)
    return Values(rows, list(chain.from_iterable(map(repeat, distinct, counts.values()))), distinct)


def _plain(name: str, column_type: str) -> str:
    """A value as JSON can hold it exactly."""
    if column_type in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isfinite({name}) THEN CAST({name} AS DOUBLE) END"
    if column_type.startswith(("HUGEINT", "DECIMAL")):
        return f"CAST({name} AS DOUBLE)"
    if column_type.startswith("TIMESTAMP"):
        return f"epoch_us({name})"
    if column_type == "DATE":
        return f"{name} - DATE '1970-01-01'"
    return name if column_type in INTEGERS or column_type in ("VARCHAR", "BOOLEAN") else f"CAST({name} AS VARCHAR)"
