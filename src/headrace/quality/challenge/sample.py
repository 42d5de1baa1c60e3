"""Published rows as mutations change them: one table of a session, its columns under names of our own, with what is in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.lake.session import quote

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

TABLE = "__challenged__"
BEFORE = "__before__"
"""The rows of the partition before, which a vendor may send once more."""
POSITION = "pos"
CATEGORIES_MAX = 20
"""So many different values at most make a text or a whole number a category."""
SCANNED_AT_ONCE = 20
ROWS_A_CATEGORY = 5
"""On average, so that a handful of rows isn't taken for categories."""

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")


class SampleColumnKind:
    """What a column's type lets one do with its values."""

    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    TRUTH = "truth"
    OTHER = "other"


class ColumnFacts(msgspec.Struct, frozen=True):
    """One column of the challenged rows. `at` is its place: in the table it is called `c<at>`."""

    at: int
    name: str
    type: str
    rows: int
    present: int
    """Rows in which it isn't null."""
    distinct: int
    categorical: bool = False

    @property
    def own(self) -> str:
        """The column's name in the table."""
        return f"c{self.at}"

    @property
    def kind(self) -> str:
        """What can be done with its values."""
        return kind_of(self.type)

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.type in _WHOLE

    @property
    def unique(self) -> bool:
        """Whether no value is there twice."""
        return self.present > 1 and self.distinct == self.present


def kind_of(column_type: str) -> str:
    """What can be done with values of a type of DuckDB's."""
    if column_type.endswith("]") or column_type.startswith(("STRUCT", "MAP", "UNION")):
        return SampleColumnKind.OTHER
    if column_type in _WHOLE or column_type in ("FLOAT", "DOUBLE") or column_type.startswith("DECIMAL"):
        return SampleColumnKind.NUMBER
    if column_type == "VARCHAR":
        return SampleColumnKind.TEXT
    if column_type == "DATE" or column_type.startswith("TIMESTAMP"):
        return SampleColumnKind.DATE
    return SampleColumnKind.TRUTH if column_type == "BOOLEAN" else SampleColumnKind.OTHER


def load(session: DuckDBSession, name: str, rows_sql: str, columns: Sequence[str]) -> int:
    """Keep the rows of a SELECT as a table of the session; how many there are. Raises `duckdb.Error`."""
    own = ", ".join(f"{quote(column)} AS c{at}" for at, column in enumerate(columns))
    session.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {quote(name)} AS SELECT {own}, row_number() OVER () - 1 AS {POSITION} FROM ({rows_sql}) AS given"
    )
    return count(session, name)


def count(session: DuckDBSession, name: str) -> int:
    """How many rows one of these tables has."""
    results = session.connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()
    return int(results[0]) if results else 0


def facts(session: DuckDBSession, columns: Mapping[str, str], rows: int) -> tuple[ColumnFacts, ...]:
    """What is in each column of the table; some columns a scan, since different values take memory."""
    listed = list(enumerate(columns.items()))
    column_facts: list[ColumnFacts] = []
    for first in range(0, len(listed), SCANNED_AT_ONCE):
        some = listed[first : first + SCANNED_AT_ONCE]
        wanted = ", ".join(f"count(c{at}), {_distinct(at, kind)}" for at, (_, kind) in some)
        counts = session.connection.execute(f"SELECT {wanted} FROM {quote(TABLE)}").fetchone() or ()
        pairs = zip(counts[::2], counts[1::2], strict=True)
        column_facts += [_facts(at, name, kind, rows, *pair) for (at, (name, kind)), pair in zip(some, pairs, strict=True)]
    return tuple(column_facts)


def _distinct(at: int, column_type: str) -> str:
    return "0" if kind_of(column_type) == SampleColumnKind.OTHER else f"count(DISTINCT c{at})"


def _facts(at: int, name: str, column_type: str, rows: int, present: int, distinct: int) -> ColumnFacts:
    few = 0 < distinct <= CATEGORIES_MAX and distinct * ROWS_A_CATEGORY <= present
    categorical = few and (column_type in _WHOLE or kind_of(column_type) == SampleColumnKind.TEXT)
    return ColumnFacts(at, name, column_type, rows, present, distinct, categorical)
