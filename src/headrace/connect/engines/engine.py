"""What the engines have in common: a read-only connection that answers short questions, and copies the rows of one SELECT to a file."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from headrace.connect.engines.address import Address, address_of, wrong
from headrace.connect.kinds import Access
from headrace.connect.shown import shown

Values = Mapping[str, Any]
"""Name of a placeholder → what is bound to it."""
COLUMNS_MAX = 1_600


class SourceDatabase(ABC):
    """One connection, one read-only transaction: all that is asked and copied comes from one snapshot. Its methods raise Unavailable
    with what the database said."""

    percent = False
    """Whether the driver's marks are `%(name)s`, so that any other `%` is doubled."""
    backslashes = False
    """Whether `\\` escapes inside of strings."""

    @abstractmethod
    def mark(self, name: str) -> str:
        """How a statement names a bound value."""

    def quoted(self, name: str) -> str:
        """A name as a statement holds it, whatever it is."""
        return '"' + name.replace('"', '""').replace("%", "%%" if self.percent else "%") + '"'

    def bound(self, moment: date | datetime, column_of: str = "") -> Any:  # noqa: ARG002 - for engines that must look at the column
        """What is bound for the start or end of an interval: a date for days and longer ones, an aware time for hours.

        `column_of` is a statement that gives the column it is compared with, under the name `moment`, where it is known."""
        return moment

    def as_cursor(self, expression: str) -> str:
        """How the highest cursor is asked for, so that it comes as a value that can be bound again."""
        return expression

    @abstractmethod
    def columns(self, sql: str, values: Values) -> list[str]:
        """The names of a SELECT's columns, without reading rows."""

    @abstractmethod
    def rows(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        """All rows of a short answer."""

    @abstractmethod
    def copy(self, sql: str, values: Values, target: Path) -> None:
        """Write the rows of a SELECT to a Parquet file, in memory that doesn't grow with them."""

    @abstractmethod
    def close(self) -> None:
        """End the transaction and the connection."""


@contextlib.contextmanager
def connected(access: Access) -> Iterator[SourceDatabase]:
    """A connection for a source. Raises Unavailable where there is none to be had, and SecretMissing."""
    with opened(address_of(access.connection, access.secrets), access.secrets.root, access.source.timezone, access.temporary) as engine:
        yield engine


@contextlib.contextmanager
def opened(address: Address, root: Path, timezone: str, temporary: Path) -> Iterator[SourceDatabase]:
    """A connection to an address. `root` is the project's folder, `temporary` one that belongs to Headrace."""
    try:
        module = import_module(f"headrace.connect.engines.{address.kind}")
    except ModuleNotFoundError as error:
        raise wrong(f"{address.kind} needs the package {error.name}: pip install 'headrace[{address.kind}]'") from None
    engine: SourceDatabase = module.connect(address, root=root, timezone=timezone, temporary=temporary)
    try:
        yield engine
    finally:
        engine.close()


def checked_names(names: Sequence[str]) -> list[str]:
    """The columns' names; refused where two are the same, as DuckDB compares them."""
    seen: dict[str, str] = {}
    for name in names:
        if seen.setdefault(name.lower(), name) is not name:
            raise wrong(f"two columns are called {shown(name)}: give one of them another name with AS in a `query`")
    if not 0 < len(names) <= COLUMNS_MAX:
        raise wrong(f"there are {len(names):,} columns; 1 to {COLUMNS_MAX:,} can be read")
    return list(names)
