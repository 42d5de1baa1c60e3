"""A lake for tests: a catalog in SQLite, a session that stages, and DuckLake (in its own process)
that reads it back.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from postgres_cluster import Database

from headrace.lake import catalog
from headrace.lake.catalog import CatalogChange, Rewrite
from headrace.lake.catalog.schema import PostgresqlCatalog
from headrace.lake.files import sync, verify
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote, relation_sql
from headrace.lake.staging import KeyExpression, stage, stage_rewrite
from headrace.lake.tables import PARTITION_COLUMN, LakeTable, StagedFile, reshaped
from headrace.store.address import PostgresqlAddress, parts_of
from headrace.store.engines.postgresql import PostgresqlEngine, PostgresqlTransaction

SECOND = 1_000_000
NOON = 1_700_000_000 * SECOND


class DuckLakeError(Exception):
    """What DuckLake answered instead of rows."""


class DuckLake:
    """The process. One serves a whole test session; `attach` moves it to another catalog."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("ducklake_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._attached: tuple[Any, str] | None = None

    def attach(self, where: Path | PostgresqlCatalog, data_folder: Path) -> None:
        wanted = (
            str(where) if isinstance(where, Path) else msgspec.to_builtins(where),
            str(data_folder),
        )
        if wanted != self._attached:
            self._ask({"attach": wanted})
            self._attached = wanted

    def sql(self, text: str) -> list[list[Any]]:
        return self._ask({"sql": text})

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()

    def _ask(self, question: Mapping[str, Any]) -> list[list[Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise DuckLakeError(answer["error"])
        rows: list[list[Any]] = answer["rows"]
        return rows


class Lake:
    """A catalog with its data folder. `tx` is the leader's connection; `session` a worker's."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, folder: Path, ducklake: DuckLake) -> None:
        self.data_folder = folder / "lake"
        self.catalog_path = folder / "state.db"
        self.data_folder.mkdir(parents=True)
        self.tx: Any = self._open()
        self.session = DuckDBSession(self.data_folder, threads=1)
        self._ducklake = ducklake
        self._clock = itertools.count(NOON, SECOND)
        with self.transaction():
            catalog.create(self.tx, f"{self.data_folder}/")

    def _open(self) -> Any:
        tx = sqlite3.connect(self.catalog_path, isolation_level=None)
        tx.execute("PRAGMA journal_mode = wal")
        tx.execute("PRAGMA synchronous = normal")
        return tx

    @property
    def where(self) -> Path | PostgresqlCatalog:
        """What DuckLake attaches."""
        return self.catalog_path

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """The catalog can't take a snapshot's changes."""
        self.tx.execute(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON ducklake_snapshot_changes BEGIN SELECT"
            " raise(ABORT, 'disk full'); END"
        )
        yield
        self.tx.execute("DROP TRIGGER refuse")

    def close(self) -> None:
        self.session.close()
        self.tx.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.tx.execute(self.begin)
        try:
            yield
        except BaseException:
            self.tx.execute("ROLLBACK")
            raise
        self.tx.execute("COMMIT")

    @contextmanager
    def change(self) -> Iterator[CatalogChange]:
        """One publication's transaction: everything that the block collects becomes one
        snapshot.
        """
        with self.transaction():
            change = CatalogChange.begin(self.tx, next(self._clock))
            yield change
            change.finish("headrace", "publish")

    @property
    def newest(self) -> int:
        return catalog.newest_snapshot(self.tx)

    def table(self, name: str, snapshot: int | None = None) -> LakeTable:
        result = catalog.table(self.tx, name, snapshot)
        assert result is not None
        return result

    def stage(
        self,
        name: str,
        key: str | KeyExpression,
        select: str,
        *,
        evolve: bool = False,
        parameters: Any = None,
    ) -> tuple[StagedFile, LakeTable]:
        staged, table = stage(
            self.session,
            select,
            parameters,
            target=TargetTable(name, catalog.table(self.tx, name), evolve=evolve),
            partition=key,
        )
        sync([verify(self.data_folder, staged)])
        return staged, table

    def publish(self, name: str, key: str, select: str, *, evolve: bool = False) -> int:
        """Stage one partition and publish it, rewriting files that it shares; returns
        the snapshot."""
        staged, table = self.stage(name, key, select, evolve=evolve)
        return self._publish(name, [key], [staged], table)

    def publish_many(
        self, name: str, keys: Sequence[str], select: str, expression: str = '"k"'
    ) -> int:
        """Several partitions in one file."""
        staged, table = self.stage(name, KeyExpression(expression, tuple(keys)), select)
        return self._publish(name, keys, [staged], table)

    def withdraw(self, name: str, *keys: str) -> int:
        return self._publish(name, keys, [], self.table(name))

    def _publish(
        self, name: str, keys: Sequence[str], staged: Sequence[StagedFile], table: LakeTable
    ) -> int:
        known = catalog.table(self.tx, name)
        retyped = known is not None and reshaped(known, table).retyped
        rewrites = [
            Rewrite(file.path, stage_rewrite(self.session, file, table, keys))
            for file in catalog.shared_files(self.tx, name, keys, retyped=retyped)
        ]
        with self.change() as change:
            if known is None:
                change.create_table(table)
            else:
                change.evolve_table(table)
            change.replace(name, keys, staged, rewrites=rewrites)
        return self.newest

    def rows(
        self, name: str, keys: Sequence[str] | None = None, snapshot: int | None = None
    ) -> list[list[str | None]]:
        """Rows as text, sorted, as our own file lists give them, `_partition` first."""
        table = self.table(name, snapshot)
        files = catalog.files(self.tx, name, keys, snapshot)
        source = relation_sql(files, table.columns, with_partition=True)
        columns = ", ".join(f"CAST({quote(column.name)} AS VARCHAR)" for column in table.columns)
        return _sorted(
            self.session.connection.execute(f"SELECT {columns} FROM ({source}) AS rows").fetchall()
        )

    def ducklake(self, sql: str) -> list[list[Any]]:
        """What DuckLake answers."""
        self._ducklake.attach(self.where, self.data_folder)
        return self._ducklake.sql(sql)

    def ducklake_rows(self, name: str, snapshot: int | None = None) -> list[list[str | None]]:
        at = "" if snapshot is None else f" AT (VERSION => {snapshot})"
        columns = ", ".join(
            f"CAST({quote(row[0])} AS VARCHAR)"
            for row in self.ducklake(
                f"SELECT column_name FROM (DESCRIBE SELECT * FROM {quote(name)}{at})"
            )
        )
        return _sorted(self.ducklake(f"SELECT {columns} FROM {quote(name)}{at}"))

    def check(self, name: str) -> None:
        """DuckLake reads at each snapshot what our own file lists give, all partitions and each
        alone."""
        for (snapshot,) in self.tx.execute(
            "SELECT snapshot_id FROM ducklake_snapshot ORDER BY 1"
        ).fetchall():
            if catalog.table(self.tx, name, snapshot) is not None:
                expected = self.ducklake_rows(name, snapshot)
                assert self.rows(name, snapshot=snapshot) == expected, f"snapshot {snapshot}"
        everything = self.rows(name)
        assert everything == self.ducklake_rows(name)
        assert self.ducklake(f"SELECT count(*) FROM {quote(name)}") == [[len(everything)]]
        for key in {row[0] for row in everything if row[0] is not None}:
            own = [row for row in everything if row[0] == key]
            assert self.rows(name, [key]) == own, key
            assert self.ducklake(
                f"SELECT count(*) FROM {quote(name)} WHERE {PARTITION_COLUMN} ="
                f" '{key.replace(chr(39), chr(39) * 2)}'"
            ) == [[len(own)]]


class PostgresqlLake(Lake):
    """The same with the catalog in PostgreSQL."""

    begin = "BEGIN"

    def __init__(self, folder: Path, ducklake: DuckLake, database: Database) -> None:
        self.database = database
        self._engine = PostgresqlEngine(
            PostgresqlAddress(parts_of(database.url), "headrace", folder)
        )
        super().__init__(folder, ducklake)

    def _open(self) -> Any:
        self._engine.create()
        return PostgresqlTransaction(self._engine._write_connection(), {})

    @property
    def where(self) -> PostgresqlCatalog:
        return PostgresqlCatalog(self._engine.address.parameters, self._engine.address.lake_schema)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        refuse = (
            "CREATE FUNCTION headrace.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE"
            " 'disk full'; END $$"
        )
        trigger = (
            "BEFORE INSERT ON headrace_lake.ducklake_snapshot_changes FOR EACH ROW EXECUTE FUNCTION"
            " headrace.refuse()"
        )
        self.database.execute(refuse, f"CREATE TRIGGER refuse {trigger}")
        yield
        self.database.execute("DROP TRIGGER refuse ON headrace_lake.ducklake_snapshot_changes")

    def close(self) -> None:
        self.session.close()
        self._engine.close()


def _sorted(rows: Sequence[Sequence[str | None]]) -> list[list[str | None]]:
    return sorted(
        (list(row) for row in rows),
        key=lambda row: [(value is not None, value or "") for value in row],
    )
