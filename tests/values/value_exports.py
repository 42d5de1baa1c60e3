"""Rows as Headrace exports them, read by other libraries."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from value_writers import Values

ZONE = "America/New_York"
FORMATS = ("csv", "parquet", "xlsx", "jsonl", "json")
NESTED = ("STRUCT", "MAP", "[]", "BLOB", "JSON")


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


def plain(value: Any, kind: str, ending: str) -> Any:
    """A value of a column, in one form for all formats.

    Workbooks have times to the millisecond, no zone, and no empty text.
    """
    if value is None or any(part in kind for part in NESTED):
        return None
    if kind == "BOOLEAN":
        return value if isinstance(value, bool) else str(value).lower() == "true"
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
    return "NaN" if number.is_nan() else number.normalize() + 0
