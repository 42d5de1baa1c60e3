"""What the catalog needs of a database: a transaction that somebody else begins and commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class CatalogCursor(Protocol):
    """The part of a DB-API cursor that is used."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class CatalogTransaction(Protocol):
    """Statements inside the caller's transaction; parameters are written `:name`."""

    def execute(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] = (), /) -> CatalogCursor: ...
    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]], /) -> Any: ...
