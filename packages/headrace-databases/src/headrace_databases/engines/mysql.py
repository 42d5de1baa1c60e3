"""MySQL and MariaDB: rows are streamed in batches, in one read-only transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pymysql
from pymysql.constants import CR, ER, FIELD_TYPE
from pymysql.converters import conversions
from pymysql.cursors import Cursor, SSCursor

from headrace.extension import marked
from headrace.extension.sources import Unavailable, printable
from headrace_databases.engines.engine import Address, SourceDatabase, Values, checked_names
from headrace_databases.engines.parquet_files import BATCH_ROWS, ValueColumn, rows_to_parquet

READ_SECONDS = 300
"""300 s: a server that sends nothing for this long is given up."""
_BINARY = 63
"""The character set number of binary data."""
_UNSIGNED = 32
_DENIED = frozenset(
    (
        ER.ACCESS_DENIED_ERROR,
        ER.DBACCESS_DENIED_ERROR,
        ER.TABLEACCESS_DENIED_ERROR,
        ER.COLUMNACCESS_DENIED_ERROR,
        1698,
        1251,
    )
)
_TRANSIENT = frozenset(
    (
        ER.CON_COUNT_ERROR,
        ER.LOCK_WAIT_TIMEOUT,
        ER.LOCK_DEADLOCK,
        ER.SERVER_SHUTDOWN,
        1152,
        1159,
        1161,
        1203,
        1226,
        1317,
        3024,
        CR.CR_CONN_HOST_ERROR,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_CONNECTION_ERROR,
    )
)
_NO_SUCH_ZONE = 1298
_INTEGERS = frozenset(
    (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.YEAR)
)
_EXACT = {
    FIELD_TYPE.FLOAT: "{name} * 1e0",
    FIELD_TYPE.TIMESTAMP: "if({name} = 0, '0000-00-00 00:00:00', unix_timestamp({name}))",
}
"""What is selected instead of a column, whose text isn't exact.

The server writes a FLOAT with six digits, and a TIMESTAMP in the session's zone, which has an hour
twice.
"""
_CONVERSIONS = {key: value for key, value in conversions.items() if key != FIELD_TYPE.TIME}
"""A TIME is text, as the server writes it: it may be negative, or have more than 24 hours."""
_TYPES = {
    FIELD_TYPE.FLOAT: pa.float32(),
    FIELD_TYPE.DOUBLE: pa.float64(),
    FIELD_TYPE.DATE: pa.date32(),
    FIELD_TYPE.NEWDATE: pa.date32(),
    FIELD_TYPE.DATETIME: pa.timestamp("us"),
    FIELD_TYPE.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}


# shared signature
def connect(address: Address, *, root: Path, timezone: str, temporary: Path) -> SourceDatabase:  # noqa: ARG001
    """Connect to the database. Raises Unavailable."""
    return MysqlSource(address, timezone)


class MysqlSource(SourceDatabase):
    """A MySQL or MariaDB database as a source."""

    percent = True
    backslashes = True

    def __init__(self, address: Address, timezone: str) -> None:
        with _translated_errors():
            self._connection = pymysql.connect(
                host=address.host or "127.0.0.1",
                port=address.port or 3306,
                user=address.user or None,
                password=address.password,
                database=address.database or None,
                charset="utf8mb4",
                connect_timeout=address.connect_seconds,
                read_timeout=READ_SECONDS,
                local_infile=False,
                cursorclass=SSCursor,
                conv=_CONVERSIONS,
                **_encryption(address.options),
            )
            self._run("set session transaction isolation level repeatable read", {})
            self._run(
                "set time_zone = %(zone)s", {"zone": "+00:00" if timezone == "UTC" else timezone}
            )
            self._run("start transaction with consistent snapshot, read only", {})

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def columns(self, sql: str, values: Values) -> list[str]:
        return checked_names([field.name for field in self._described(sql, values)])

    def rows(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        with _translated_errors():
            return self._run(sql, values)

    def copy(self, sql: str, values: Values, target: Path) -> None:
        fields = self._described(sql, values)
        checked_names([field.name for field in fields])
        selected = ", ".join(self._exact(field) for field in fields)
        statement = f"select {selected} from ({sql}) as headrace_rows"
        with _translated_errors(), self._connection.cursor() as cursor:
            batches = _batches(cursor, statement, values)
            rows_to_parquet([_column(field) for field in fields], batches, target)

    def close(self) -> None:
        with contextlib.suppress(pymysql.Error, OSError):
            self._connection.close()

    def _run(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, dict(values))
            return list(cursor.fetchall())

    def _described(self, sql: str, values: Values) -> list[Any]:
        """Return the fields of a SELECT; only they tell text from bytes."""
        with _translated_errors(), self._connection.cursor(Cursor) as cursor:
            cursor.execute(f"select * from ({sql}) as headrace_rows limit 0", dict(values))
            return list(cursor._result.fields)

    def _exact(self, field: Any) -> str:
        name = self.quoted(field.name)
        return f"{_EXACT.get(field.type_code, '{name}').format(name=name)} as {name}"


def _column(field: Any) -> ValueColumn:
    kind = field.type_code
    if kind in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        precision = field.length - (field.scale > 0) - (not field.flags & _UNSIGNED)
        return ValueColumn(
            field.name, pa.decimal128(min(max(precision, field.scale, 1), 38), field.scale)
        )
    if kind == FIELD_TYPE.LONGLONG:
        return ValueColumn(field.name, pa.uint64() if field.flags & _UNSIGNED else pa.int64())
    if kind in _INTEGERS:
        return ValueColumn(
            field.name,
            pa.int64() if kind == FIELD_TYPE.LONG and field.flags & _UNSIGNED else pa.int32(),
        )
    if kind == FIELD_TYPE.TIMESTAMP:
        return ValueColumn(field.name, _TYPES[kind], _microseconds)
    if kind in _TYPES:
        return ValueColumn(field.name, _TYPES[kind])
    if field.charsetnr == _BINARY and kind not in (FIELD_TYPE.TIME, FIELD_TYPE.JSON):
        return ValueColumn(field.name, pa.binary())
    return ValueColumn(field.name, pa.string(), _text)


def _microseconds(seconds: str) -> int:
    return int(Decimal(seconds) * 1_000_000)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _encryption(options: dict[str, str]) -> dict[str, Any]:
    """Translate PostgreSQL's `sslmode` to pymysql's options.

    `disable`, `require` (encrypted), `verify-ca` and `verify-full` (with `sslrootcert`) are
    supported.
    """
    mode = options.get("sslmode", "")
    if mode in ("", "prefer", "allow"):
        return {}
    if mode == "disable":
        return {"ssl_disabled": True}
    files = {
        "ca": options.get("sslrootcert"),
        "cert": options.get("sslcert"),
        "key": options.get("sslkey"),
    }
    verified = {
        "ssl_verify_cert": mode.startswith("verify"),
        "ssl_verify_identity": mode == "verify-full",
    }
    return {**{f"ssl_{name}": value for name, value in files.items() if value}, **verified}


def _batches(cursor: SSCursor, sql: str, values: Values) -> Iterator[Any]:
    cursor.execute(sql, dict(values))
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield rows


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn errors of MySQL and its client into Unavailable."""
    try:
        yield
    except (pymysql.Error, OSError) as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> Unavailable:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    message = printable(" ".join(str(error.args[-1] if error.args else error).split()), 500)
    if code in _DENIED:
        return Unavailable(message, code="access_denied", transient=False)
    if code == _NO_SUCH_ZONE:
        message += (
            ": load the server's time zones (mysql_tzinfo_to_sql), or write `timezone: UTC` at the"
            " source"
        )
    if code in _TRANSIENT or not code or isinstance(error, OSError):
        return Unavailable(message)
    return Unavailable(marked(message), code="configuration_error", transient=False)
