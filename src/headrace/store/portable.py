"""Saves the whole state into one SQLite file for backups, and loads it for restores.

Rows are streamed table by table from one snapshot into one transaction. Each table is copied after
the tables that its foreign keys refer to; the order comes from the target's schema. The lake's
catalog is part of the state; the caller creates its tables in the target first (`prepare`).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from headrace.model.errors import StoreError
from headrace.store import migrations
from headrace.store.address import PostgresqlAddress, SqliteAddress
from headrace.store.database import Store
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.transaction import Dialect, Transaction, quoted

Prepare = Callable[[Transaction], None]
_OWN = ("migration",)
"""Tables that aren't copied because the target fills them itself."""
_CATALOG = "ducklake_"
"""Prefix of the catalog's tables. Other versions of DuckLake may add tables to the catalog."""


def save(store: Store, target: Path, prepare: Prepare) -> None:
    """Save a snapshot of the state to the new SQLite file `target`.

    `prepare` creates the catalog's tables in an empty state.
    """
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
    """Load the saved file into a newly created PostgreSQL state.

    `saved` must be of the current schema version.
    """
    engine = SqliteEngine(saved)
    try:
        migrations.check(engine.applied(), engine.where)
        with engine.read() as source, store.write(None, durable=True) as tx:
            prepare(tx)
            copy_rows(source, tx)
            _continue_ids(tx)
    finally:
        engine.close()


def place(saved: Path, address: SqliteAddress) -> None:
    """Copy a saved file to the address of a SQLite state, atomically."""
    address.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = address.path.with_name(f"{address.path.name}.restoring")
    shutil.copyfile(saved, part)
    part.chmod(0o600)
    part.replace(address.path)


def put_aside(store: Store, suffix: str) -> str:
    """Rename the state with `suffix`, close the store, and return the new name."""
    where = store.address
    if isinstance(where, PostgresqlAddress):
        with store.write(None) as tx:
            for schema in (where.schema, where.lake_schema):
                tx.execute(
                    f"alter schema {quoted(schema)} rename to {quoted(f'{schema}_{suffix}')}"
                )
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
    """Copy all rows of the target's tables, replacing the rows that a new state starts with.

    Raises StoreError if the source lacks one of the tables, or if its catalog has rows in a table
    that the target lacks.
    """
    there, here = columns_by_table(source), columns_by_table(target)
    if lacking := sorted(here.keys() - there.keys()):
        raise StoreError(f"what is to be copied has no table `{lacking[0]}`")
    for name in sorted(there.keys() - here.keys()):
        if name.startswith(_CATALOG) and _has_rows(source, name):
            raise StoreError(
                f"the lake's catalog has rows in `{name}`, a table that this Headrace doesn't know",
                hint=(
                    "another DuckLake wrote them; `call ducklake_flush_inlined_data(…)` there first"
                ),
            )
    order = [name for name in copy_order(target) if name not in _OWN]
    for name in reversed(order):
        if _has_rows(target, name):
            target.unrecorded(f"delete from {quoted(name)}")
    for name in order:
        _copy(source, target, name, there[name], list(here[name]))


def copy_order(tx: Transaction) -> list[str]:
    """Return the tables in copy order: each after those that its foreign keys refer to.

    Raises StoreError for circular references.
    """
    parents: dict[str, set[str]] = {name: set() for name in sorted(columns_by_table(tx))}
    for child, parent in _references(tx):
        if child != parent:  # rows of one table may come in any order: `Transaction.fill`
            parents[child].add(parent)
    try:
        return list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        circle = ", ".join(error.args[1])
        raise StoreError(f"the state's tables refer to each other in a circle: {circle}") from error


def _copy(
    source: Transaction, target: Transaction, name: str, kinds: dict[str, str], columns: list[str]
) -> None:
    listed = ", ".join(as_sqlite(column, kinds[column]) for column in columns)
    order = " order by seq" if name == "audit" else ""  # its trigger refuses any other order
    target.fill(name, columns, source.stream(f"select {listed} from {quoted(name)}{order}"))


def as_sqlite(column: str, kind: str) -> str:
    """Return SQL for a column's value in SQLite's format.

    SQLite stores times as text with six decimals of a second, so that text order is time order.
    """
    name = quoted(column)
    if kind == "timestamp with time zone":
        return f"to_char({name} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'"
    if kind == "boolean":
        return f"cast({name} as integer)"
    return name


def _has_rows(tx: Transaction, name: str) -> bool:
    return tx.execute(f"select 1 from {quoted(name)} limit 1").fetchone() is not None


def _references(tx: Transaction) -> list[tuple[str, str]]:
    """Return each foreign key as its table and the table that it refers to."""
    if tx.dialect is Dialect.POSTGRESQL:
        sql = (
            "select child.relname, parent.relname from pg_constraint join pg_class child on"
            " child.oid = conrelid join pg_class parent on parent.oid = confrelid join pg_namespace"
            " n on n.oid = child.relnamespace where contype = 'f' and n.nspname ="
            " any(current_schemas(false))"
        )
    else:
        sql = (
            'select t.name, k."table" from sqlite_master t join pragma_foreign_key_list(t.name) k'
            " where t.type = 'table'"
        )
    return [(str(child), str(parent)) for child, parent in tx.execute(sql).fetchall()]


def columns_by_table(tx: Transaction) -> dict[str, dict[str, str]]:
    """Return column types by table and column."""
    results: dict[str, dict[str, str]] = {}
    if tx.dialect is Dialect.POSTGRESQL:
        rows = tx.execute(
            "select table_name, column_name, data_type from information_schema.columns where"
            " table_schema = any(current_schemas(false)) order by table_schema, table_name,"
            " ordinal_position"
        ).fetchall()
    else:
        rows = tx.execute(
            "select t.name, c.name, lower(c.type) from sqlite_master t join"
            " pragma_table_info(t.name) c where t.type = 'table' and t.name not like 'sqlite_%'"
            " order by t.name, c.cid"
        ).fetchall()
    for table, column, kind in rows:
        results.setdefault(table, {})[column] = kind
    return results


def _continue_ids(tx: Transaction) -> None:
    """Advance the id sequences past the copied ids."""
    rows = tx.execute(
        "select table_name, column_name, pg_get_serial_sequence(quote_ident(table_schema) || '.' ||"
        " quote_ident(table_name), column_name) from information_schema.columns where is_identity ="
        " 'YES' and table_schema = any(current_schemas(false))"
    ).fetchall()
    for table, column, sequence in rows:
        tx.execute(
            f'select setval(?::regclass, coalesce(max("{column}"), 0) + 1, false) from "{table}"',
            (sequence,),
        )
