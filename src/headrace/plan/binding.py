"""What DuckDB is asked about one SQL statement before it runs, and what it answers, as values for a worker and the cache."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.plan.values import Columns
from headrace.sql.values import UNKNOWN


class StatementTable(msgspec.Struct, frozen=True, array_like=True):
    """A table that a statement reads, as far as its columns are known."""

    name: str
    columns: Columns | None

    @property
    def known(self) -> bool:
        """Whether every column has a known type."""
        return self.columns is not None and all(type_ != UNKNOWN for _, type_ in self.columns)


class SelectStatement(msgspec.Struct, frozen=True, array_like=True):
    """A SELECT with what it reads and is bound to. `bounds` is the type of $partition_start and $partition_end:
    `date`, `instant`, or empty where they have no value."""

    sql: str
    tables: tuple[StatementTable, ...]
    parameters: dict[str, Any] = {}
    bounds: str = ""

    @property
    def complete(self) -> bool:
        """Whether all is known that binding needs. Otherwise the statement is parsed and its functions are looked up."""
        return all(table.known for table in self.tables)


class BindResult(msgspec.Struct, frozen=True, array_like=True):
    """DuckDB's answer. `code` is empty for a statement that can run; `line` counts from 1 within the statement.

    `columns` are those of the result; None where the statement was only parsed, or refused.
    """

    columns: Columns | None = None
    code: str = ""
    message: str = ""
    hint: str = ""
    line: int = 1


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """Define the project's macros (path to text). Answered by an empty `BindResult`."""

    macros: dict[str, str]


class Bind(msgspec.Struct, frozen=True, tag="bind"):
    """Parse and bind one statement."""

    statement: SelectStatement


Request = Prepare | Bind
