"""PostgreSQL: rows come by COPY as text, in one read-only transaction, and are cast exactly.

COPY's text is exact for every type, and arrives at the speed of the network. A pipe passes it on,
so that only the Parquet file is written to disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import make_conninfo

from headrace.extension import marked
from headrace.extension.sources import Unavailable, message_of, printable
from headrace_databases.engines.engine import Address, SourceDatabase, Values, checked_names
from headrace_databases.engines.parquet_files import (
    POINTS_IN_TIME,
    TextColumn,
    Write,
    number_in_words,
    text_to_parquet,
)

_ALIVE = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""A server whose machine is gone is detected after one minute."""
_SETTINGS = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "client_encoding": "UTF8",
}
"""Settings that the format of COPY's text depends on."""
_CHECKS_CLIENTS = 140_000
"""Servers from this version on detect during a query that the client is gone, and release locks."""
_TYPES = {
    16: "BOOLEAN",
    20: "BIGINT",
    21: "SMALLINT",
    23: "INTEGER",
    26: "BIGINT",
    700: "FLOAT",
    701: "DOUBLE",
    1082: "DATE",
    1083: "TIME",
    1114: "TIMESTAMP",
    1184: "TIMESTAMPTZ",
    2950: "UUID",
}
"""PostgreSQL's type numbers → DuckDB's names; all other types are read as PostgreSQL's text."""
_NUMERIC = 1700
_WRITTEN = {17: "unhex(substr({}, 3))", 1042: "rtrim({}, ' ')"}
"""How bytea and char(n), whose blanks don't count, become values."""
DECIMALS_OF_ANY = 10
"""Number of decimals for `numeric` without a precision.

Values with more are refused, not rounded.
"""
_DENIED = (
    "authentication failed",
    "no password supplied",
    "pg_hba.conf",
    "permission denied",
    "is not permitted to log in",
)
_WRONG = (
    "does not exist",
    "invalid connection option",
    "invalid sslmode",
    "could not translate host name",
    "root certificate file",
)
_DETERMINISTIC = ("0A", "21", "22", "25", "2F", "3D", "3F", "42")
"""Classes of SQLSTATE that recur until the declaration or the database changes."""
_GONE = ("42P01", "42703")
"""A missing table or column; the message's statement is Headrace's own, and adds nothing."""
DECIMAL_DIGITS_MAX = 38
MESSAGE_CHARACTERS_MAX = 500


# shared signature
def connect(address: Address, *, root: Path, timezone: str, temporary: Path) -> SourceDatabase:  # noqa: ARG001
    """Connect to the database. Raises Unavailable."""
    return PostgresqlSource(address, timezone)


class PostgresqlSource(SourceDatabase):
    """A PostgreSQL database as a source."""

    percent = True

    def __init__(self, address: Address, timezone: str, *, first: str = "") -> None:
        """Connect. The statement `first` is run before the transaction has its snapshot."""
        with translated_errors():
            self.connection = psycopg.connect(
                make_conninfo(**_ALIVE | address.options | _keywords(address))
            )
        with translated_errors():
            self.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self.connection.read_only = True
            if first:
                self.connection.execute(first.encode())
            settings = _SETTINGS | {"TimeZone": timezone}
            if self.connection.info.server_version >= _CHECKS_CLIENTS:
                settings["client_connection_check_interval"] = "5s"
            for name, value in settings.items():
                self.connection.execute("select set_config(%s, %s, true)", (name, value))

    def as_cursor(self, expression: str) -> str:
        return f"({expression})::text"

    def columns(self, sql: str, values: Values) -> list[str]:
        return checked_names([column.name for column in self._described(sql, values)])

    def rows(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        with translated_errors():
            return self.connection.execute(sql.encode(), dict(values)).fetchall()

    def copy(self, sql: str, values: Values, target: Path) -> None:
        columns = self._described(sql, values)
        checked_names([column.name for column in columns])
        sent = ", ".join(
            f"to_json(c{n}::text[])" if self._element(item) else f"c{n}"
            for n, item in enumerate(columns)
        )
        aliases = ", ".join(f"c{n}" for n in range(len(columns)))
        statement = (
            f"copy (select {sent} from ({sql}) as headrace_rows ({aliases})) to stdout (format csv,"
            " force_quote *)"
        )
        read = [self._read(item, f"c{n}") for n, item in enumerate(columns)]
        with translated_errors():
            text_to_parquet(read, target, lambda write: self.send(statement, values, write))

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self.connection.close()

    def _described(self, sql: str, values: Values) -> list[psycopg.Column]:
        with translated_errors():
            cursor = self.connection.execute(
                f"select * from ({sql}) as headrace_rows limit 0".encode(), dict(values)
            )
            return list(cursor.description or ())

    def send(self, statement: str, values: Values, write: Write) -> None:
        """Send the text of a COPY statement."""
        with (
            self.connection.transaction(),  # one that breaks off leaves the snapshot usable
            self.connection.cursor() as cursor,
            cursor.copy(statement.encode(), dict(values)) as rows,
        ):
            for row in rows:
                write(row)

    def _element(self, column: psycopg.Column) -> int | None:
        """Return the type of an array's elements; None for other types.

        Arrays are read as JSON of their elements' texts, which needs no parser of our own.
        """
        info = self.connection.adapters.types.get(column.type_code)
        return info.oid if info is not None and info.array_oid == column.type_code else None

    def _read(self, column: psycopg.Column, text: str) -> TextColumn:
        """Return how COPY's text becomes DuckDB's value: exactly, or not at all."""
        element = self._element(column)
        if element is not None:
            return _list(column.name, text, _TYPES.get(element, "VARCHAR"))
        doubled = column.scale is None and column.name.lower() in self.as_doubles
        if column.type_code == _NUMERIC and doubled:
            return TextColumn(column.name, f"CAST({text} AS DOUBLE)")
        return scalar_column(column, text)


class Typed(Protocol):
    """A column's name and type, as a result or the catalog has them."""

    @property
    def name(self) -> str: ...
    @property
    def type_code(self) -> int: ...
    @property
    def precision(self) -> int | None: ...
    @property
    def scale(self) -> int | None: ...


def scalar_column(column: Typed, text: str) -> TextColumn:
    """Return how PostgreSQL's text of a value that is no array becomes DuckDB's value."""
    if written := _WRITTEN.get(column.type_code):
        return TextColumn(column.name, written.format(text))
    if column.type_code == _NUMERIC:
        return _decimal(column, text)
    kind = _TYPES.get(column.type_code, "VARCHAR")
    return TextColumn(
        column.name,
        f"CAST({text} AS {kind})",
        # DuckDB's cast of a date drops the era
        f"suffix({text}, ' BC')" if kind == "DATE" else "false",
        POINTS_IN_TIME,
    )


def _list(name: str, text: str, element: str) -> TextColumn:
    """Return a list of one dimension: arrays of more have the same type."""
    value = f"CAST(CAST(CAST({text} AS JSON) AS VARCHAR[]) AS {element}[])"
    bad, holds = f"prefix({text}, '[[')", "a list of one dimension"
    if element.startswith(("DATE", "TIMESTAMP")):
        # readers of lists know no infinity, and no years after 9999
        bad += f" OR regexp_matches({text}, ' BC\"|infinity|\"[0-9]{{5}}')"
        holds += f", each {POINTS_IN_TIME}"
    return TextColumn(name, value, bad, holds)


def _decimal(column: Typed, text: str) -> TextColumn:
    precision, scale = column.precision, column.scale
    if precision is not None and scale is not None and 0 <= scale <= DECIMAL_DIGITS_MAX:
        precision = min(max(precision, scale), DECIMAL_DIGITS_MAX)
        value = f"CAST({text} AS DECIMAL({precision}, {scale}))"
        return TextColumn(column.name, value, "false", number_in_words(precision, scale))
    return TextColumn(
        column.name,
        f"CAST({text} AS DECIMAL({DECIMAL_DIGITS_MAX}, {DECIMALS_OF_ANY}))",
        f"regexp_matches({text}, '[.][0-9]{{{DECIMALS_OF_ANY}}}0*[1-9]')",
        f"{number_in_words(DECIMAL_DIGITS_MAX, DECIMALS_OF_ANY)}, as a numeric without precision"
        " is read: write numeric(p, s)",
    )


def _keywords(address: Address) -> dict[str, str]:
    settings = {
        "host": address.host,
        "dbname": address.database,
        "user": address.user,
        "password": address.password,
    }
    settings["port"] = str(address.port or "")
    always = {"connect_timeout": str(address.connect_seconds), "application_name": "headrace"}
    return {name: value for name, value in settings.items() if value} | always


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn errors of PostgreSQL and its client into Unavailable."""
    try:
        yield
    except psycopg.Error as error:
        raise _refusal(error) from None


def _refusal(error: psycopg.Error) -> Unavailable:
    """Classify an error by SQLSTATE.

    Failed connections have none, so their message's text decides.
    """
    state = error.sqlstate or ""
    server_message = error.diag.message_primary if state in _GONE else None
    message = printable(server_message or message_of(error), MESSAGE_CHARACTERS_MAX)
    if (
        state.startswith("28")
        or state == "42501"
        or (not state and any(word in message for word in _DENIED))
    ):
        return Unavailable(message, code="access_denied", transient=False)
    if state[:2] in _DETERMINISTIC or (
        not state
        and (
            any(word in message for word in _WRONG)
            or not isinstance(error, psycopg.OperationalError)
        )
    ):
        words = marked(message) if state.startswith("22") else message  # of data exceptions
        return Unavailable(words, code="configuration_error", transient=False)
    return Unavailable(message)
