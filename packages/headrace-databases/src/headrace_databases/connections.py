"""Connections to databases: tests of them, and exports to their tables.

A process that only reads declarations imports this module, so drivers are imported on use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.extension.sources import ConnectionKind, Secrets
from headrace.extension.tables import Assignment, Portion, Surroundings, Written
from headrace_databases.engines.engine import address_of, module_of, open_engine


class DatabaseConnection(ConnectionKind):
    """Abstract: a connection to a database."""

    def test(self, connection: Mapping[str, Any], secrets: Secrets, temporary: Path) -> None:
        """Connect, and select one number."""
        address = address_of(connection, secrets)
        with open_engine(address, secrets.root, "UTC", temporary) as engine:
            engine.rows("select 1 as one", {})


class TableConnection(DatabaseConnection):
    """Abstract: a connection to a database that tables are exported to."""

    def export(
        self, assignment: Assignment, portions: Sequence[Portion], around: Surroundings
    ) -> tuple[Written, ...]:
        """Replace an interval's rows in tables."""
        written: tuple[Written, ...] = module_of("exports", self.name).write(
            assignment, portions, around
        )
        return written


class Postgresql(TableConnection):
    """PostgreSQL: exported rows go by COPY, as text that PostgreSQL parses as its own types."""

    name = "postgresql"


class Mysql(DatabaseConnection):
    """MySQL and MariaDB, which rows are only read from."""

    name = "mysql"


class Sqlite(TableConnection):
    """A file of SQLite: exported rows are inserted in one transaction."""

    name = "sqlite"
