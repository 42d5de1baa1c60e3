"""Tables of PostgreSQL: rows go by COPY, as text that PostgreSQL parses as its own types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from headrace.extension import literal, quote
from headrace.extension.tables import (
    Assignment,
    ExportFailed,
    LakeColumn,
    Portion,
    Surroundings,
    Written,
    as_text,
    is_nested,
    unavailable,
    words_of,
)
from headrace_databases.engines.engine import Address, address_of
from headrace_databases.exports.tables import LEDGER, ExportRecord, ExportTarget, export_tables

NAME_BYTES_MAX = 63
_TYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "UTINYINT": "smallint",
    "USMALLINT": "integer",
    "UINTEGER": "bigint",
    "UBIGINT": "numeric(20)",
    "HUGEINT": "numeric(39)",
    "UHUGEINT": "numeric(39)",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "DATE": "date",
    "TIME": "time",
    "INTERVAL": "interval",
    "UUID": "uuid",
    "BLOB": "bytea",
    "JSON": "jsonb",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}
_ALIVE = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_AGAIN = ("08", "28", "40", "53", "55", "57", "58")
"""Classes of PostgreSQL's error codes that a retry may not meet again.

They are connections, logins, conflicts, resources, locks, shutdowns and disks.
"""
_RIGHTS = ("42501", "25006")
"""No right to write a table, and a read-only server: both may change, so the export is retried."""


def write(
    assignment: Assignment, portions: Sequence[Portion], around: Surroundings
) -> tuple[Written, ...]:
    """Replace an interval's rows in PostgreSQL tables."""
    with _translated_errors():
        connection = _connect(
            address_of(around.connection, around.secrets), around.session.timezone
        )
    try:
        return export_tables(PostgresqlExportTarget(connection), assignment, portions, around)
    finally:
        connection.close()


def _connect(address: Address, timezone: str) -> psycopg.Connection[tuple[Any, ...]]:
    address_parts = {
        "host": address.host,
        "port": address.port,
        "dbname": address.database,
        "user": address.user,
        "password": address.password,
    }
    parameters: dict[str, Any] = {
        name: str(value) for name, value in address_parts.items() if value
    }
    parameters |= {"connect_timeout": address.connect_seconds, "application_name": "headrace"}
    connection = psycopg.connect(**{**_ALIVE, **address.options, **parameters})
    for name, value in (
        ("DateStyle", "ISO, YMD"),
        ("TimeZone", timezone),
        ("client_encoding", "UTF8"),
        ("synchronous_commit", "on"),
    ):
        connection.execute("select set_config(%s, %s, false)", (name, value))
    connection.commit()
    return connection


class PostgresqlExportTarget(ExportTarget):
    """A PostgreSQL database that tables are exported to."""

    mark = "%s"

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if not self._connection.closed and not self._connection.broken:
                self._connection.rollback()
            raise

    def commit(self) -> None:
        with _translated_errors():
            self._connection.commit()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _translated_errors():
            cursor = self._connection.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def columns(self, table: str) -> list[str] | None:
        results = self.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and"
            " not attisdropped",
            (self.quoted(table),),
        )
        return [name for (name,) in results] or None

    def load(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        statement = f"copy {self.quoted(table)} ({', '.join(map(self.column, names))}) from stdin"
        with (
            _translated_errors(),
            self._connection.cursor() as cursor,
            cursor.copy(statement.encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def type_of(self, column: LakeColumn) -> str:
        if is_nested(column):
            return "jsonb"
        if column.type.startswith("DECIMAL"):
            return f"numeric{column.type.removeprefix('DECIMAL')}"
        return _TYPES.get(
            column.type, "timestamp" if column.type.startswith("TIMESTAMP") else "text"
        )

    def value_of(self, column: LakeColumn) -> str:
        name = quote(column.name)
        text = as_text(column) if is_nested(column) else f"CAST({name} AS VARCHAR)"
        if "JSON" in column.type:
            return _with_each_key_once(text, column.name)
        if column.type == "BLOB":
            return f"'\\x' || lower(hex({name}))"
        if not column.type.endswith("_NS"):
            return text
        message = f"column {column.name} has nanoseconds, which PostgreSQL doesn't keep"
        rounded = f"regexp_matches({text}, '\\.\\d{{6}}0*[1-9]')"
        return f"CASE WHEN {rounded} THEN error({literal(message)}) ELSE {text} END"

    def check_names(self, names: Sequence[str]) -> None:
        for name in names:
            if len(name.encode()) > NAME_BYTES_MAX or "\0" in name:
                raise ExportFailed(
                    f"the column {name[:80]!r} has a name that PostgreSQL would cut (more than"
                    f" {NAME_BYTES_MAX} bytes)",
                    hint="rename it",
                )

    def claim(self, key: Sequence[str]) -> ExportRecord:
        self.execute(
            f"insert into {LEDGER} values (%s, %s, %s, 0, 0, 0, '', 0, '') on conflict do nothing",
            key,
        )
        where = "consumer = %s and asset = %s and interval_key = %s"
        return ExportRecord(
            *self.execute(
                f"select epoch, n, row_count, sha256, project from {LEDGER} where {where} for"
                " update",
                key,
            )[0]
        )


def _with_each_key_once(text: str, column: str) -> str:
    """Return SQL for JSON that refuses objects with a key twice, of which jsonb keeps the last."""
    message = literal(f"column {column} has JSON with a key twice, of which jsonb keeps one")
    twice = f"(SELECT count(*) > count(DISTINCT (parent, key)) FROM json_tree({text}))"
    return f"CASE WHEN {twice} THEN error({message}) ELSE {text} END"


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn PostgreSQL's error into an ExportFailed with its first line, which holds no rows."""
    try:
        yield
    except psycopg.Error as error:
        lines = str(error).strip().splitlines()
        message = f"PostgreSQL: {lines[0] if lines else words_of(error)}"
        state = error.sqlstate or ""
        if (
            state[:2] in _AGAIN
            or state in _RIGHTS
            or (isinstance(error, psycopg.OperationalError) and not state)
        ):
            raise unavailable(message) from error
        raise ExportFailed(message, hint="headrace explain configuration_error") from error
