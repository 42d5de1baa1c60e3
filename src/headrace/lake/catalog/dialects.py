"""What differs between a catalog in SQLite and one in PostgreSQL: the types of some columns, where tables are made, and who may write
at the same time. Everything else is the same text."""

from __future__ import annotations

import re

from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.lake.sqltext import quote

_BOOLEAN = re.compile(r"\b(path_is_relative|nulls_allowed|contains_nan|contains_null|is_partition) BIGINT")
_INSTANT = re.compile(r"\b(snapshot_time|schedule_start) VARCHAR")
_UUID = re.compile(r"\b(schema_uuid|table_uuid|view_uuid) VARCHAR")


def in_postgresql(tx: CatalogTransaction) -> bool:
    """Whether the catalog is in PostgreSQL."""
    return str(getattr(tx, "dialect", "sqlite")) == "postgresql"


def own_schema(tx: CatalogTransaction) -> str:
    """Of a catalog in PostgreSQL: its schema, the last of the search path; the state's comes before it."""
    row = tx.execute("SELECT (current_schemas(false))[array_upper(current_schemas(false), 1)]").fetchone()
    return str(row[0])


def table_ddl(tx: CatalogTransaction, table: str, schema: str | None) -> str:
    """`CREATE TABLE` of one of `ddl.TABLES`."""
    if not in_postgresql(tx):
        return f"CREATE TABLE {table}"
    typed = _UUID.sub(r"\1 UUID", _INSTANT.sub(r"\1 TIMESTAMP WITH TIME ZONE", _BOOLEAN.sub(r"\1 BOOLEAN", table)))
    return f"CREATE TABLE {quote(schema or 'main')}.{typed}"


def index_ddl(tx: CatalogTransaction, index: str, schema: str | None) -> str:
    """`CREATE INDEX` of one of `ddl.INDEXES`. A key may be longer than what PostgreSQL's ordered indexes hold: it is hashed there."""
    if not in_postgresql(tx):
        return f"CREATE INDEX {index}"
    name, _, rest = index.partition(" ON ")
    hashed = rest.replace("(table_id, min_value, data_file_id)", "USING hash (min_value)")
    return f"CREATE INDEX {name} ON {quote(schema or 'main')}.{hashed}"


def exclude_others(tx: CatalogTransaction) -> None:
    """Wait for DuckLake's own commits, and let none through until ours. SQLite's transactions do that by themselves."""
    if in_postgresql(tx):
        tx.execute("LOCK TABLE ducklake_snapshot IN EXCLUSIVE MODE")


def sayable(tx: CatalogTransaction, text: str | None) -> bool:
    """False for a text that can't stand in this catalog: PostgreSQL's has no character 0."""
    return text is None or "\0" not in text or not in_postgresql(tx)
