"""SQLite as a source: through Python's own library, read only, never the project's own state.

A process may hold only one SQLite library.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from headrace.extension.sources import (
    Unavailable,
    day_start_us,
    from_us,
    printable,
    unusable,
)
from headrace.extension.tables import APPLICATION_ID
from headrace_databases.engines.engine import (
    Address,
    SourceDatabase,
    Values,
    checked_names,
    file_of,
)
from headrace_databases.engines.parquet_files import (
    BATCH_ROWS,
    NotHeld,
    ValueColumn,
    rows_to_parquet,
)

BUSY_SECONDS = 10.0
_IDENTITY_AT = 68
"""Offset of the application's number in an SQLite file's header."""
DOUBLE_DIGITS = 15
"""Digits of any decimal number that a double holds."""
_DECIMAL = re.compile(r"(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_NANOSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]")
"""Digits that a time in microseconds would lose."""
_ALLOWED = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
_DENIED_FUNCTIONS = ("load_extension", "writefile", "readfile", "edit", "fts3_tokenizer")
_TRANSIENT = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_FULL,
    )
)
_VIEW = "headrace_rows"
_NUMBERS, _BLANK, _WITH_T = "numbers", "text", "text with a T before the time"
"""Forms of moments in a column."""
_ENDS = ("min", "max")


def connect(address: Address, *, root: Path, timezone: str, temporary: Path) -> SourceDatabase:
    """Connect to the file. Raises Unavailable."""
    path = file_of(address, root)
    _refuse_state(path, temporary)
    return SqliteSource(path, timezone)


class SqliteSource(SourceDatabase):
    """An SQLite file as a source."""

    def __init__(self, path: Path, timezone: str) -> None:
        self._path, self._timezone = path, timezone
        self._forms: dict[str, list[str]] = {}
        with self._translated_errors():
            uri = f"file:{quote(str(path))}?mode=ro"
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("begin")
            self._connection.execute(
                "select count(*) from sqlite_master"
            ).fetchone()  # the snapshot begins with the first read

    def mark(self, name: str) -> str:
        return f":{name}"

    def bound(self, moment: date | datetime, column_of: str = "") -> Any:
        """Return text in the form of SQLite's own functions, in the source's zone.

        If the column holds numbers, the value is seconds since 1970 UTC; if it holds text with a
        `T` before the time, the text has one. Raises Unavailable for a column of several forms.
        """
        by_hour = isinstance(moment, datetime)
        form = self._form(column_of, by_hour=by_hour) if column_of else _BLANK
        if form == _NUMBERS:
            return int(_instant(moment, self._timezone).timestamp())
        if not isinstance(moment, datetime):
            return moment.isoformat()
        text = moment.strftime("%Y-%m-%d %H:%M:%S")
        if not column_of:
            return text
        return text.removesuffix(":00").replace(" ", "T" if form == _WITH_T else " ")

    def columns(self, sql: str, values: Values) -> list[str]:
        with self._translated_errors(), self._reading():
            cursor = self._connection.execute(f"select * from ({sql}) limit 0", dict(values))
            return checked_names([name for name, *_ in cursor.description])

    def rows(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        with self._translated_errors(), self._reading():
            return self._connection.execute(sql, dict(values)).fetchall()

    def copy(self, sql: str, values: Values, target: Path) -> None:
        names = self.columns(sql, values)
        with self._translated_errors():
            types = self._declared(sql, values)
            columns = [
                column_of(name, declared) for name, declared in zip(names, types, strict=True)
            ]
            with self._reading():
                rows_to_parquet(
                    columns, _batches(self._connection.execute(sql, dict(values))), target
                )

    def close(self) -> None:
        self._connection.close()

    def _form(self, column_of: str, *, by_hour: bool) -> str:
        """Return the form of a column's values, which sort among themselves only."""
        if column_of not in self._forms:
            self._forms[column_of] = self._forms_of(column_of, by_hour=by_hour)
        forms = self._forms[column_of]
        if len(forms) > 1:
            raise unusable(
                f"{self._path.name}: the column that says each row's interval holds"
                f" {' and '.join(forms)}: rows would be in no interval"
            )
        return forms[0] if forms else _BLANK

    def _forms_of(self, column_of: str, *, by_hour: bool) -> list[str]:
        """Numbers sort before text, so the ends show both; only hours need to look at each text."""
        ends = ", ".join(f"(select typeof({end}(moment)) from ({column_of}))" for end in _ENDS)
        kinds = {kind in ("integer", "real") for kind in self.rows(f"select {ends}", {})[0]}
        forms = [_NUMBERS] if True in kinds else []
        if not by_hour:
            return forms + [_BLANK] * (False in kinds)
        form = f"iif(substr(moment, 11, 1) = 'T', '{_WITH_T}', '{_BLANK}')"
        texts = (
            f"select distinct {form} from ({column_of}) where typeof(moment) = 'text' order by 1"
        )
        return forms + [form for (form,) in self.rows(texts, {})]

    def _declared(self, sql: str, values: Values) -> list[str]:
        """Return the declared types of a SELECT's columns, empty for expressions.

        A temporary view gives them; as it can't have parameters, they are replaced by null.
        """
        text = sql
        for name in values:
            text = re.sub(rf":{name}\b", "null", text)
        self._connection.execute(f"create temp view {_VIEW} as {text}")
        try:
            return [row[2] for row in self._connection.execute(f"pragma temp.table_info({_VIEW})")]
        finally:
            self._connection.execute(f"drop view temp.{_VIEW}")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Allow statements to read this file only: no ATTACH, no PRAGMA, no external functions."""
        self._connection.set_authorizer(_authorized)
        try:
            yield
        finally:
            self._connection.set_authorizer(None)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> Unavailable:
        message = f"{printable(self._path.name)}: {printable(error, 300)}"
        if self._path.exists() and not os.access(self._path, os.R_OK):
            return Unavailable(
                f"{message}: it may not be read", code="access_denied", transient=False
            )
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _TRANSIENT:
            return Unavailable(message)
        return Unavailable(message, code="configuration_error", transient=False)


def _authorized(
    action: int, _first: str | None, second: str | None, _database: str | None, _trigger: str | None
) -> int:
    if action not in _ALLOWED or (
        action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DENIED_FUNCTIONS
    ):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _refuse_state(path: Path, temporary: Path) -> None:
    """Refuse Headrace's own state, which the file's header identifies, and files in its folder."""
    real = Path(os.path.realpath(path))
    state_folder = Path(os.path.realpath(temporary)).parent
    try:
        with real.open("rb") as file:
            header = file.read(100)
    except OSError:
        header = b""
    identity = int.from_bytes(header[_IDENTITY_AT : _IDENTITY_AT + 4], "big")
    if real.is_relative_to(state_folder) or identity == APPLICATION_ID:
        raise unusable(
            "a source can't read Headrace's own state: `headrace runs --json` and its siblings say"
            " what is in it"
        )


def _instant(at: date | datetime, timezone: str) -> datetime:
    if isinstance(at, datetime):
        return at.astimezone(UTC)
    return from_us(day_start_us(at, timezone), "UTC")


def _batches(cursor: sqlite3.Cursor) -> Iterator[list[Any]]:
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield rows


def column_of(  # complexipy: ignore (SQLite's rules of types, in order)
    name: str, declared: str
) -> ValueColumn:
    """Return the column for a declared type: SQLite's own rules, plus dates and decimals.

    SQLite itself has no types for these.
    """
    kind = declared.strip().upper()
    if match := _DECIMAL.fullmatch(kind):
        precision, scale = min(int(match[1]), 38), int(match[2] or 0)
        if precision and scale <= precision:
            convert = partial(_decimal, scale=scale)
            return ValueColumn(name, pa.decimal128(precision, scale), convert)
    if "BOOL" in kind:
        return ValueColumn(name, pa.bool_(), _boolean)
    if kind == "DATE":
        return ValueColumn(name, pa.date32(), date.fromisoformat)
    if kind.startswith(("DATETIME", "TIMESTAMP")):
        return ValueColumn(name, pa.timestamp("us"), _timestamp)
    if "INT" in kind:
        return ValueColumn(name, pa.int64())
    if any(word in kind for word in ("CHAR", "CLOB", "TEXT", "JSON", "UUID", "STRING")):
        return ValueColumn(name, pa.string(), _text)
    if any(word in kind for word in ("REAL", "FLOA", "DOUB")):
        return ValueColumn(name, pa.float64())
    return ValueColumn(name, pa.binary()) if "BLOB" in kind else ValueColumn(name)


def _decimal(value: Any, scale: int) -> Decimal:
    """Return a float as the decimal of the column's scale that it stands for.

    That is the one whose nearest float it is, or is but for its last digits: 0.1 + 0.2 is 0.3. No
    other is rounded. Raise NotHeld if the float stands for several.
    """
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(value)  # Python takes more: 1_0
    if not isinstance(value, float):
        return Decimal(value)
    written = Decimal(repr(value))
    step = Decimal(1).scaleb(-scale)
    if len(written.as_tuple().digits) > DOUBLE_DIGITS and value in (
        float(written + step),
        float(written - step),
    ):
        raise NotHeld(f"a number of which a double, as SQLite stores it, holds {scale} decimals")
    if -int(written.as_tuple().exponent) <= scale:
        return written
    rounded = round(written, scale)
    return rounded if float(rounded) in (value, float(f"{value:.15g}")) else written


def _boolean(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _timestamp(value: Any) -> datetime:
    if _NANOSECONDS.search(value):
        raise ValueError(value)
    result = datetime.fromisoformat(value)
    return result if result.tzinfo is None else result.astimezone(UTC).replace(tzinfo=None)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value
