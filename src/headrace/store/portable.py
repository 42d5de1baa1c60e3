"""The whole state as one SQLite file, whatever database it is in, and back: what a backup holds, and what a restore reads.

A table's rows go from one transaction to another, by column name. The lake's catalog is part of the state; who knows its tables makes
them in the target first (`prepare`).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from headrace.model.errors import StoreError
from headrace.store.address import PostgresqlAddress, SqliteAddress, quoted
from headrace.store.database import Store
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.transaction import Dialect, Transaction

Prepare = Callable[[Transaction], None]
ROWS_AT_ONCE = 1_000
_FIRST = ("run", "delivery", "promise")
"""Others refer to them."""
_PREFILLED = ("lease", "meta")
"""Those in which a new state has rows already."""
_OWN = ("migration",)
"""What the target has by itself."""


def save(store: Store, target: Path, prepare: Prepare) -> None:
    """Write the state, as one snapshot, into a new SQLite file. `prepare` makes the catalog's tables in an empty state."""
    if isinstance(store.engine, SqliteEngine):
        with closing(sqlite3.connect(target)) as copy:
            store.engine.read_connection().backup(copy)
            copy.execute("pragma journal_mode = delete")
        target.chmod(0o600)
        return
    engine = SqliteEngine(target)
    engine.create()
    try:
        with store.read() as source, engine.write(None, durable=True) as tx:
            prepare(tx)
            copy_rows(source, tx)
        engine.write_connection().execute("pragma journal_mode = delete")
    finally:
        engine.close()


def load(saved: Path, store: Store, prepare: Prepare) -> None:
    """Fill a state in PostgreSQL that was just made with what a saved file holds. `saved` must be of this version."""
    engine = SqliteEngine(saved)
    try:
        engine.check()
        with engine.read() as source, store.write(None, durable=True) as tx:
            prepare(tx)
            copy_rows(source, tx)
            _continue_ids(tx)
    finally:
        engine.close()


def place(saved: Path, address: SqliteAddress) -> None:
    """Put a saved file where a SQLite state belongs: whole, or not at all."""
    address.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = address.path.with_name(f"{address.path.name}.restoring")
    shutil.copyfile(saved, part)
    part.chmod(0o600)
    part.replace(address.path)


def put_aside(store: Store, suffix: str) -> str:
    """Move the state away under another name; what it is called now. The store is closed."""
    where = store.address
    if isinstance(where, PostgresqlAddress):
        with store.write(None) as tx:
            for schema in (where.schema, where.lake_schema):
                tx.execute(f"alter schema {quoted(schema)} rename to {quoted(f'{schema}_{suffix}')}")
        store.close()
        return f"{where.schema}_{suffix}"
    store.close()
    aside = where.path.with_name(f"{where.path.name}.{suffix}")
    for companion in ("", "-wal", "-shm"):
        path = where.path.with_name(where.path.name + companion)
        if path.exists():
            path.rename(aside.with_name(aside.name + companion))
    return str(aside)


def copy_rows(source: Transaction, target: Transaction) -> None:
    """All rows of all tables that both have."""
    there, here = _tables(source), _tables(target)
    for name in sorted(here, key=lambda table: (table not in _FIRST, table)):
        if name in _OWN:
            continue
        if name not in there:
            raise StoreError(f"what is to be copied has no table `{name}`")
        _copy(source, target, name, here[name])


def _copy(source: Transaction, target: Transaction, name: str, columns: dict[str, str]) -> None:
    listed = ", ".join(f'"{column}"' for column in columns)
    flags = [number for number, kind in enumerate(columns.values()) if kind == "boolean"]
    order = " order by seq" if name == "audit" else ""
    rows = iter(source.execute(f'select {listed} from "{name}"{order}'))
    if name in _PREFILLED:
        target.execute(f'delete from "{name}"')
    insert = f'insert into "{name}" ({listed}) values ({", ".join("?" for _ in columns)})'
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        target.executemany(insert, [_typed(row, flags) for row in chunk] if flags else chunk)


def _typed(row: Iterable[Any], flags: list[int]) -> list[Any]:
    values = list(row)
    for number in flags:
        values[number] = None if values[number] is None else bool(values[number])
    return values


def _tables(tx: Transaction) -> dict[str, dict[str, str]]:
    """Table → column → type."""
    found: dict[str, dict[str, str]] = {}
    if tx.dialect is Dialect.POSTGRESQL:
        rows = tx.execute(
            "select table_name, column_name, data_type from information_schema.columns"
            " where table_schema = any(current_schemas(false)) order by table_schema, table_name, ordinal_position"
        ).fetchall()
    else:
        rows = tx.execute(
            "select t.name, c.name, lower(c.type) from sqlite_master t join pragma_table_info(t.name) c"
            " where t.type = 'table' and t.name not like 'sqlite_%' order by t.name, c.cid"
        ).fetchall()
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found


def _continue_ids(tx: Transaction) -> None:
    """The next id that is given comes after those that were copied."""
    rows = tx.execute(
        "select table_name, column_name, pg_get_serial_sequence(quote_ident(table_schema) || '.' || quote_ident(table_name), column_name)"
        " from information_schema.columns where is_identity = 'YES' and table_schema = any(current_schemas(false))"
    ).fetchall()
    for table, column, sequence in rows:
        tx.execute(f'select setval(?::regclass, coalesce(max("{column}"), 0) + 1, false) from "{table}"', (sequence,))
