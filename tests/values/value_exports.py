"""Rows as Headrace exports them, read by other libraries."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from value_writers import Values

from headrace.lake.types import Type, parse

ZONE = "America/New_York"
FORMATS = ("csv", "parquet", "xlsx", "jsonl", "json")
TABLE = "rows"
"""The table of a database that rows are exported to."""


def read_sqlite(path: Path) -> Values:
    """The values that SQLite gives."""
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute(f"select * from {TABLE}")
        names = [name for name, *_ in cursor.description]
        return _by_column(names, cursor.fetchall())


def read_postgresql(url: str) -> Values:
    """The texts that PostgreSQL gives."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        columns = connection.execute(f"select * from {TABLE} limit 0").description or []
        names = [column.name for column in columns]
        texts = ", ".join('"' + name.replace('"', '""') + '"::text' for name in names)
        return _by_column(names, connection.execute(f"select {texts} from {TABLE}").fetchall())  # type: ignore[arg-type]


def _by_column(names: list[str], rows: list[tuple[Any, ...]]) -> Values:
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def read_export(data: bytes, ending: str) -> Values:
    """The values that another library reads."""
    match ending:
        case "csv":
            from pyarrow import csv

            names = data.decode().splitlines()[0].replace('"', "").split(",")
            options = csv.ConvertOptions(
                column_types=dict.fromkeys(names, "string"),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            )
            parsing = csv.ParseOptions(newlines_in_values=True)
            table = csv.read_csv(io.BytesIO(data), None, parsing, options)
            return table.to_pydict()
        case "parquet":
            from pyarrow import parquet

            return parquet.read_table(io.BytesIO(data)).to_pydict()
        case "xlsx":
            import openpyxl
            from openpyxl.utils.escape import unescape

            def cell(value: Any) -> Any:
                return unescape(value) if isinstance(value, str) else value

            rows = list(openpyxl.load_workbook(io.BytesIO(data)).active.values)
            return {name: [cell(row[at]) for row in rows[1:]] for at, name in enumerate(rows[0])}
    text = data.decode()
    lines = [text] if ending == "json" else text.splitlines()
    records = [json.loads(line, parse_float=Decimal) for line in lines]
    if ending == "json":
        (records,) = records
    values: Values = {}
    for record in records:
        for name, value in record.items():
            values.setdefault(name, []).append(value)
    return values


def plain(value: Any, kind: str, ending: str, *, as_read: bool = False) -> Any:
    """A value of a column, in one form for all formats and for what `read` gives.

    Workbooks have times to the millisecond, no zone, and no empty text.
    """
    parsed = parse(kind)
    if value is None or not (parsed.fields or kind == "JSON"):
        return _scalar(value, kind, ending)
    if ending in ("csv", "xlsx", "sqlite", "postgresql") and not as_read:
        return _inside(json.loads(value, parse_float=Decimal), parsed, has_texts=False)
    return _inside(value, parsed, has_texts=as_read or ending == "parquet")


def _inside(value: Any, kind: Type, *, has_texts: bool) -> Any:
    """A value of a nested type, or within one; `has_texts` if its JSON is text."""
    if value is None:
        return None
    parts = [part for _, part in kind.fields]
    match kind.name:
        case "LIST":
            return [_inside(item, parts[0], has_texts=has_texts) for item in value]
        case "STRUCT":
            return {
                name: _inside(value[name], part, has_texts=has_texts) for name, part in kind.fields
            }
        case "MAP":
            pairs = list(value.items() if isinstance(value, dict) else value)
            items = [
                (_scalar(key, parts[0].text, ""), _inside(item, parts[1], has_texts=has_texts))
                for key, item in pairs
            ]
            return sorted(items, key=repr)
        case "JSON":
            return _json_value(json.loads(value, parse_float=Decimal) if has_texts else value)
    return _scalar(value, kind.text, "")


def _json_value(value: Any) -> Any:
    """With numbers of one form: `True` isn't 1."""
    match value:
        case dict():
            return {name: _json_value(item) for name, item in value.items()}
        case list():
            return [_json_value(item) for item in value]
        case int() | float() | Decimal() if not isinstance(value, bool):
            return _scalar(value, "DECIMAL", "")
    return value


def _scalar(value: Any, kind: str, ending: str) -> Any:
    if value is None:
        return None
    if kind == "BLOB":
        return _binary(value, ending)
    if kind == "BOOLEAN":
        return value if isinstance(value, bool) else str(value).lower() in ("true", "1")
    if "(BC)" in str(value):
        return str(value)
    if kind.startswith(("DATE", "TIMESTAMP")):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        if ending == "xlsx" and moment.tzinfo is not None:
            moment = moment.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
        moment = moment if moment.tzinfo is None else moment.astimezone(UTC)
        if ending == "xlsx":
            rounded = (moment.microsecond + 500) // 1000 * 1000  # halves up
            moment += timedelta(microseconds=rounded - moment.microsecond)
        return moment.isoformat()
    if kind.startswith("TIME"):
        return str(value if isinstance(value, time) else time.fromisoformat(str(value)))
    if kind == "UUID":
        return str(value)
    if kind == "VARCHAR":
        return value or None if ending == "xlsx" else value
    number = Decimal(repr(value) if isinstance(value, float) else str(value))
    if number.is_nan():
        return None if ending == "sqlite" else "NaN"  # SQLite has none
    return number.normalize() + 0


def _binary(value: Any, ending: str) -> str | None:
    if ending == "postgresql" and str(value).startswith("\\x"):
        value = bytes.fromhex(value.removeprefix("\\x"))
    return (base64.b64encode(value).decode() if isinstance(value, bytes) else value) or None
