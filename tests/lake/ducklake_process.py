"""DuckLake in a process of its own, fed by lines on standard input: its SQLite must never meet
Python's on one file.

Each line is `{"attach": [catalog, data folder]}`, or `{"sql": text}`; each answer `{"rows": […]}`
or `{"error": text}`. One DuckDB serves all catalogs in SQLite, one after the other, since loading
the extensions is what takes time. One in PostgreSQL gets a DuckDB of its own: the extension keeps
its connections by an address that is the same for all of them.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from headrace.lake.catalog.schema import PostgresqlCatalog
from headrace.lake.maintenance import attach, attach_to


def main() -> None:
    asking = _Asking()
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any]
        try:
            if "attach" in asked:
                asking.attach(*asked["attach"])
                answer = {"rows": []}
            else:
                assert asking.connection is not None
                answer = {"rows": asking.connection.execute(asked["sql"]).fetchall()}
        except duckdb.Error as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


class _Asking:
    """What is asked now."""

    def __init__(self) -> None:
        self.connection: duckdb.DuckDBPyConnection | None = None
        self._of_sqlite: duckdb.DuckDBPyConnection | None = None

    def attach(self, where: Any, folder: str) -> None:
        self._leave()
        catalog = (
            Path(where) if isinstance(where, str) else msgspec.convert(where, PostgresqlCatalog)
        )
        if isinstance(catalog, Path) and self._of_sqlite is not None:
            attach_to(self._of_sqlite, catalog, Path(folder))
            self.connection = self._of_sqlite
        else:
            self.connection = attach(catalog, Path(folder))
        self.connection.execute("USE lake")
        if isinstance(catalog, Path):
            self._of_sqlite = self.connection

    def _leave(self) -> None:
        """Forget the catalog before, with what a test has left open in it."""
        if self.connection is None:
            return
        if self.connection is not self._of_sqlite:
            self.connection.close()
            return
        with contextlib.suppress(duckdb.TransactionException):
            self.connection.execute("ROLLBACK")
        try:
            self.connection.execute("USE memory")
            self.connection.execute("DETACH DATABASE IF EXISTS lake")
        except duckdb.Error:  # the catalog's files are gone already
            self.connection.close()
            self._of_sqlite = None


if __name__ == "__main__":
    main()
