"""The catalog's tables, in SQLite and PostgreSQL, and the transaction that the catalog runs in."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.lake.sqltext import quote
from headrace.model.errors import LakeError

# The database interface that the catalog needs: a transaction that the caller begins and commits.


class CatalogCursor(Protocol):
    """The used part of a DB-API cursor."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class CatalogTransaction(Protocol):
    """Statements inside the caller's transaction; parameters are written `:name`."""

    def execute(
        self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] = (), /
    ) -> CatalogCursor: ...
    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]], /) -> Any: ...


# Address of a catalog that isn't a file. It isn't in `maintenance`, because that module loads
# DuckDB.


class PostgresqlCatalog(msgspec.Struct, frozen=True):
    """A catalog in a schema of a PostgreSQL database.

    `parameters` are libpq's, with the password.
    """

    parameters: dict[str, str]
    schema: str


# Instants as text in the form of DuckLake's SQLite catalog: UTC, microseconds, `+00`.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def snapshot_time(at_us: int) -> str:
    """Return `at_us` (microseconds since 1970 UTC) as catalog text.

    It always has six digits of microseconds, so that texts sort by time.
    """
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f") + "+00"


def microseconds(text: str) -> int:
    """Reverse `snapshot_time`.

    It also reads DuckLake's own texts (`2026-11-20 08:07:52.55291+00`, `2026-11-20 08:07:52+00`).
    """
    at = datetime.fromisoformat(text[:-3] + "+00:00" if text.endswith("+00") else text)
    return (at - _EPOCH) // timedelta(microseconds=1)


# Differences between a catalog in SQLite and one in PostgreSQL: the types of some columns, the
# schema of the tables, and concurrent writers. All other statements are the same.

_BOOLEAN = re.compile(
    r"\b(path_is_relative|nulls_allowed|contains_nan|contains_null|is_partition) BIGINT"
)
_INSTANT = re.compile(r"\b(snapshot_time|schedule_start) VARCHAR")
_UUID = re.compile(r"\b(schema_uuid|table_uuid|view_uuid) VARCHAR")


def in_postgresql(tx: CatalogTransaction) -> bool:
    """Whether the catalog is in PostgreSQL."""
    return str(getattr(tx, "dialect", "sqlite")) == "postgresql"


def own_schema(tx: CatalogTransaction) -> str:
    """Return the schema of a catalog in PostgreSQL: the last of the search path.

    The state's schema comes before it.
    """
    row = tx.execute(
        "SELECT (current_schemas(false))[array_upper(current_schemas(false), 1)]"
    ).fetchone()
    return str(row[0])


def table_ddl(tx: CatalogTransaction, table: str, schema: str | None) -> str:
    """Return the `CREATE TABLE` statement for one of `TABLES`."""
    if not in_postgresql(tx):
        return f"CREATE TABLE {table}"
    typed = _UUID.sub(
        r"\1 UUID", _INSTANT.sub(r"\1 TIMESTAMP WITH TIME ZONE", _BOOLEAN.sub(r"\1 BOOLEAN", table))
    )
    return f"CREATE TABLE {quote(schema or 'main')}.{typed}"


def index_ddl(tx: CatalogTransaction, index: str, schema: str | None) -> str:
    """Return the `CREATE INDEX` statement for one of `INDEXES`.

    A key may be longer than PostgreSQL's ordered indexes allow, so it is hashed there.
    """
    if not in_postgresql(tx):
        return f"CREATE INDEX {index}"
    name, _, rest = index.partition(" ON ")
    hashed = rest.replace("(table_id, min_value, data_file_id)", "USING hash (min_value)")
    return f"CREATE INDEX {name} ON {quote(schema or 'main')}.{hashed}"


def exclude_others(tx: CatalogTransaction) -> None:
    """Wait for DuckLake's own commits, and block further ones until ours.

    SQLite's transactions do that by themselves.
    """
    if in_postgresql(tx):
        tx.execute("LOCK TABLE ducklake_snapshot IN EXCLUSIVE MODE")


def sayable(tx: CatalogTransaction, text: str | None) -> bool:
    """Whether this catalog can store the text: PostgreSQL has no character 0."""
    return text is None or "\0" not in text or not in_postgresql(tx)


# The catalog's tables, exactly as DuckLake 1.0 creates them in SQLite (in PostgreSQL with the types
# above), and the indexes that Headrace adds.
#
# A test compares them with a catalog that DuckLake itself created. Another `version` means other
# tables and is refused.

VERSION = "1.0"

TABLES = (
    (
        'ducklake_metadata("key" VARCHAR NOT NULL, "value" VARCHAR NOT NULL, "scope" VARCHAR,'
        " scope_id BIGINT)"
    ),
    (
        "ducklake_snapshot(snapshot_id BIGINT PRIMARY KEY, snapshot_time VARCHAR, schema_version"
        " BIGINT, next_catalog_id BIGINT, next_file_id BIGINT)"
    ),
    (
        "ducklake_snapshot_changes(snapshot_id BIGINT PRIMARY KEY, changes_made VARCHAR, author"
        " VARCHAR, commit_message VARCHAR, commit_extra_info VARCHAR)"
    ),
    (
        "ducklake_schema(schema_id BIGINT PRIMARY KEY, schema_uuid VARCHAR, begin_snapshot BIGINT,"
        " end_snapshot BIGINT, schema_name VARCHAR, path VARCHAR, path_is_relative BIGINT)"
    ),
    (
        "ducklake_table(table_id BIGINT, table_uuid VARCHAR, begin_snapshot BIGINT, end_snapshot"
        " BIGINT, schema_id BIGINT, table_name VARCHAR, path VARCHAR, path_is_relative BIGINT)"
    ),
    (
        "ducklake_view(view_id BIGINT, view_uuid VARCHAR, begin_snapshot BIGINT, end_snapshot"
        ' BIGINT, schema_id BIGINT, view_name VARCHAR, dialect VARCHAR, "sql" VARCHAR,'
        " column_aliases VARCHAR)"
    ),
    (
        'ducklake_tag(object_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, "key" VARCHAR,'
        ' "value" VARCHAR)'
    ),
    (
        "ducklake_column_tag(table_id BIGINT, column_id BIGINT, begin_snapshot BIGINT, end_snapshot"
        ' BIGINT, "key" VARCHAR, "value" VARCHAR)'
    ),
    (
        "ducklake_data_file(data_file_id BIGINT PRIMARY KEY, table_id BIGINT, begin_snapshot"
        " BIGINT, end_snapshot BIGINT, file_order BIGINT, path VARCHAR, path_is_relative BIGINT,"
        " file_format VARCHAR, record_count BIGINT, file_size_bytes BIGINT, footer_size BIGINT,"
        " row_id_start BIGINT, partition_id BIGINT, encryption_key VARCHAR, mapping_id BIGINT,"
        " partial_max BIGINT)"
    ),
    (
        "ducklake_file_column_stats(data_file_id BIGINT, table_id BIGINT, column_id BIGINT,"
        " column_size_bytes BIGINT, value_count BIGINT, null_count BIGINT, min_value VARCHAR,"
        " max_value VARCHAR, contains_nan BIGINT, extra_stats VARCHAR)"
    ),
    (
        "ducklake_file_variant_stats(data_file_id BIGINT, table_id BIGINT, column_id BIGINT,"
        " variant_path VARCHAR, shredded_type VARCHAR, column_size_bytes BIGINT, value_count"
        " BIGINT, null_count BIGINT, min_value VARCHAR, max_value VARCHAR, contains_nan BIGINT,"
        " extra_stats VARCHAR)"
    ),
    (
        "ducklake_delete_file(delete_file_id BIGINT PRIMARY KEY, table_id BIGINT, begin_snapshot"
        " BIGINT, end_snapshot BIGINT, data_file_id BIGINT, path VARCHAR, path_is_relative BIGINT,"
        " format VARCHAR, delete_count BIGINT, file_size_bytes BIGINT, footer_size BIGINT,"
        " encryption_key VARCHAR, partial_max BIGINT)"
    ),
    (
        "ducklake_column(column_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, table_id"
        " BIGINT, column_order BIGINT, column_name VARCHAR, column_type VARCHAR, initial_default"
        " VARCHAR, default_value VARCHAR, nulls_allowed BIGINT, parent_column BIGINT,"
        " default_value_type VARCHAR, default_value_dialect VARCHAR)"
    ),
    (
        "ducklake_table_stats(table_id BIGINT, record_count BIGINT, next_row_id BIGINT,"
        " file_size_bytes BIGINT)"
    ),
    (
        "ducklake_table_column_stats(table_id BIGINT, column_id BIGINT, contains_null BIGINT,"
        " contains_nan BIGINT, min_value VARCHAR, max_value VARCHAR, extra_stats VARCHAR)"
    ),
    (
        "ducklake_partition_info(partition_id BIGINT, table_id BIGINT, begin_snapshot BIGINT,"
        " end_snapshot BIGINT)"
    ),
    (
        "ducklake_partition_column(partition_id BIGINT, table_id BIGINT, partition_key_index"
        ' BIGINT, column_id BIGINT, "transform" VARCHAR)'
    ),
    (
        "ducklake_file_partition_value(data_file_id BIGINT, table_id BIGINT, partition_key_index"
        " BIGINT, partition_value VARCHAR)"
    ),
    (
        "ducklake_files_scheduled_for_deletion(data_file_id BIGINT, path VARCHAR, path_is_relative"
        " BIGINT, schedule_start VARCHAR)"
    ),
    "ducklake_inlined_data_tables(table_id BIGINT, table_name VARCHAR, schema_version BIGINT)",
    'ducklake_column_mapping(mapping_id BIGINT, table_id BIGINT, "type" VARCHAR)',
    (
        "ducklake_name_mapping(mapping_id BIGINT, column_id BIGINT, source_name VARCHAR,"
        " target_field_id BIGINT, parent_column BIGINT, is_partition BIGINT)"
    ),
    "ducklake_schema_versions(begin_snapshot BIGINT, schema_version BIGINT, table_id BIGINT)",
    (
        "ducklake_macro(schema_id BIGINT, macro_id BIGINT, macro_name VARCHAR, begin_snapshot"
        " BIGINT, end_snapshot BIGINT)"
    ),
    (
        'ducklake_macro_impl(macro_id BIGINT, impl_id BIGINT, dialect VARCHAR, "sql" VARCHAR,'
        ' "type" VARCHAR)'
    ),
    (
        "ducklake_macro_parameters(macro_id BIGINT, impl_id BIGINT, column_id BIGINT,"
        " parameter_name VARCHAR, parameter_type VARCHAR, default_value VARCHAR, default_value_type"
        " VARCHAR)"
    ),
    (
        "ducklake_sort_info(sort_id BIGINT, table_id BIGINT, begin_snapshot BIGINT, end_snapshot"
        " BIGINT)"
    ),
    (
        "ducklake_sort_expression(sort_id BIGINT, table_id BIGINT, sort_key_index BIGINT,"
        " expression VARCHAR, dialect VARCHAR, sort_direction VARCHAR, null_order VARCHAR)"
    ),
)

KEYS = {
    "ducklake_metadata": ("key", "scope", "scope_id"),
    "ducklake_table": ("table_id", "begin_snapshot"),
    "ducklake_view": ("view_id", "begin_snapshot"),
    "ducklake_file_column_stats": ("data_file_id", "column_id"),
    "ducklake_file_variant_stats": ("data_file_id", "column_id", "variant_path"),
    "ducklake_column": ("table_id", "column_id", "begin_snapshot"),
    "ducklake_table_stats": ("table_id",),
    "ducklake_table_column_stats": ("table_id", "column_id"),
    "ducklake_partition_info": ("partition_id", "begin_snapshot"),
    "ducklake_file_partition_value": ("data_file_id", "partition_key_index"),
    "ducklake_files_scheduled_for_deletion": ("data_file_id",),
    "ducklake_schema_versions": ("begin_snapshot", "schema_version"),
}
"""Columns that identify rows in tables without a primary key; elsewhere all columns do."""

HOLDS_ONE = "column_id = 1 AND min_value = max_value"
"""Statistics of `_partition` in a file that holds one partition, which is found by equality."""
HOLDS_SEVERAL = (
    "column_id = 1 AND (min_value <> max_value OR min_value IS NULL OR max_value IS NULL)"
)
"""Statistics of files that hold several partitions, or whose bounds are unknown (very long keys).

These files are few, so they are scanned.
"""

INDEXES = (
    (
        "headrace_lake_one ON ducklake_file_column_stats (table_id, min_value, data_file_id) WHERE"
        f" {HOLDS_ONE}"
    ),
    (
        "headrace_lake_several ON ducklake_file_column_stats (table_id, data_file_id) WHERE"
        f" {HOLDS_SEVERAL}"
    ),
    "headrace_lake_table ON ducklake_table (lower(table_name))",
    "headrace_lake_column ON ducklake_column (table_id)",
    "headrace_lake_totals ON ducklake_table_stats (table_id)",
    "headrace_lake_extent ON ducklake_table_column_stats (table_id, column_id)",
    "headrace_lake_file ON ducklake_data_file (table_id, end_snapshot)",
    "headrace_lake_path ON ducklake_data_file (path)",
    "headrace_lake_delete ON ducklake_delete_file (table_id, data_file_id)",
    "headrace_lake_statistics ON ducklake_file_column_stats (data_file_id)",
)
ADDED_INDEXES = ("headrace_lake_statistics",)
"""Indexes that catalogs of earlier versions lack."""


def create(tx: CatalogTransaction, data_path: str, at_us: int = 0) -> None:
    """Create an empty catalog with the schema `main`, as snapshot 0.

    `data_path` ends with `/`; DuckLake's readers resolve relative paths against it. `at_us` is the
    time of snapshot 0 (microseconds since 1970 UTC): early, because no later snapshot gets an
    earlier one.
    """
    create_tables(tx)
    rows = {
        "version": VERSION,
        "created_by": "Headrace",
        "data_path": data_path,
        "encrypted": "false",
        "data_inlining_row_limit": "0",
    }
    tx.executemany(
        'INSERT INTO ducklake_metadata("key", "value") VALUES (:key, :value)',
        [{"key": key, "value": value} for key, value in rows.items()],
    )
    tx.execute(
        "INSERT INTO ducklake_snapshot VALUES (0, :time, 0, 1, 0)", {"time": snapshot_time(at_us)}
    )
    tx.execute(
        "INSERT INTO ducklake_snapshot_changes(snapshot_id, changes_made) VALUES (0,"
        " 'created_schema:\"main\"')"
    )
    tx.execute(
        "INSERT INTO ducklake_schema VALUES (0, :uuid, 0, NULL, 'main', 'main/', :relative)",
        {"uuid": str(uuid.uuid4()), "relative": True},
    )


def create_tables(tx: CatalogTransaction) -> None:
    """Create the catalog's tables without rows, to copy another catalog into them."""
    schema = own_schema(tx) if in_postgresql(tx) else None
    for table in TABLES:
        tx.execute(table_ddl(tx, table, schema))
    for index in INDEXES:
        tx.execute(index_ddl(tx, index, schema))


def add_indexes(tx: CatalogTransaction) -> None:
    """Create the indexes that a catalog of an earlier version lacks."""
    schema = own_schema(tx) if in_postgresql(tx) else None
    for index in INDEXES:
        name = index.partition(" ")[0]
        # `IF NOT EXISTS` would wait for the table's writers before it finds the index
        if name in ADDED_INDEXES and not _has_index(tx, name, schema):
            tx.execute(index_ddl(tx, index, schema))


def _has_index(tx: CatalogTransaction, name: str, schema: str | None) -> bool:
    sql = (
        "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = :name"
        if schema is None
        else "SELECT 1 FROM pg_indexes WHERE indexname = :name AND schemaname = :schema"
    )
    return tx.execute(sql, {"name": name, "schema": schema}).fetchone() is not None


def move(tx: CatalogTransaction, data_path: str) -> None:
    """Record that the lake's folder has moved to `data_path`, which ends with `/`."""
    tx.execute(
        'UPDATE ducklake_metadata SET "value" = :path WHERE "key" = \'data_path\'',
        {"path": data_path},
    )


def data_path(tx: CatalogTransaction) -> str:
    """Return the folder where DuckLake's readers look for files; it ends with `/`."""
    row = tx.execute(
        'SELECT "value" FROM ducklake_metadata WHERE "key" = \'data_path\' AND "scope" IS NULL'
    ).fetchone()
    return "" if row is None else str(row[0])


def names(data_path: str, folder: Path) -> bool:
    """Whether the catalog's data path is this folder, under any name.

    A relative path never is: DuckLake resolves it against the reader's current folder.
    """
    if data_path == f"{folder}/":
        return True
    try:
        return Path(data_path).is_absolute() and Path(data_path).samefile(folder)
    except OSError:
        return False


def missing(tx: CatalogTransaction) -> bool:
    """Whether the database has no catalog yet."""
    if in_postgresql(tx):
        return tx.execute("SELECT to_regclass('ducklake_metadata')").fetchone()[0] is None
    return (
        tx.execute("SELECT 1 FROM sqlite_master WHERE name = 'ducklake_metadata'").fetchone()
        is None
    )


def check_version(tx: CatalogTransaction) -> None:
    """Raise LakeError for a catalog of another version: its tables may mean something else."""
    row = tx.execute(
        'SELECT "value" FROM ducklake_metadata WHERE "key" = \'version\' AND "scope" IS NULL'
    ).fetchone()
    result = row[0] if row else None
    if result != VERSION:
        raise LakeError(
            f"the lake's catalog has version {result or 'unknown'}; this Headrace reads and writes"
            f" version {VERSION}",
            hint=(
                "install the Headrace that made it, or restore the state from before another"
                " DuckLake upgraded it"
            ),
        )
