"""What runs inside one transaction, whatever database it is in."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from headrace.model.errors import StoreError

Parameters = Mapping[str, Any] | Sequence[Any]


class Dialect(enum.StrEnum):
    """Which database it is. Only who makes tables needs to know."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Cursor(Protocol):
    """The part of a DB-API cursor that is used; rows are tuples."""

    @property
    def lastrowid(self) -> int | None:
        """The id that the database gave to the row inserted last."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Transaction:
    """SQL text with `?` or `:name` parameters. It is over when its `with` block is; used later, it raises StoreError."""

    __slots__ = ()
    dialect: Dialect

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement; the cursor gives rows as tuples."""
        raise NotImplementedError

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> object:
        """Run one statement for each of the parameters."""
        raise NotImplementedError

    def stream(self, sql: str, /) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, fetched a few at a time: for tables that may be larger than memory.

        Read it to its end before the transaction ends."""
        raise NotImplementedError

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Insert rows as they are read, however many. A row may refer to a later one of the same table.

        The event log isn't told: for a copy, which brings its own, and for repairs of what the log says otherwise."""
        raise NotImplementedError

    def unrecorded(self, sql: str, parameters: Parameters = (), /) -> None:
        """Run one statement that the event log isn't told of, for the same uses as `fill`."""
        raise NotImplementedError

    def real_us(self) -> int:
        """Real time in microseconds since 1970 UTC, by the one clock that all who use this database share."""
        raise NotImplementedError


def insertion(table: str, columns: Sequence[str]) -> str:
    """`insert` of one row of a table, with a parameter for each column."""
    listed = ", ".join(quoted(column) for column in columns)
    return f"insert into {quoted(table)} ({listed}) values ({', '.join('?' for _ in columns)})"


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def over() -> StoreError:
    """What a transaction raises that is used after its end."""
    return StoreError("this transaction is over")
