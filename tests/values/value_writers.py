"""Each format, written by libraries other than Headrace, and what each file says.

A writer gives the file's bytes, and its values as the format has them: typed, or text where the
file has only text.
"""

from __future__ import annotations

import csv
import io
import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from value_tables import KINDS, TEXTS, Pairs, Table

Values = dict[str, list[Any]]
Written = tuple[bytes, Values]


@dataclass(frozen=True)
class Writer:
    """A format as one library writes it. `options` are the source's fields, for its columns."""

    name: str
    ending: str
    kinds: tuple[str, ...]
    write: Callable[..., Written]
    options: Callable[[Values], dict[str, Any]] = lambda _: {}
    connection: dict[str, Any] = field(default_factory=dict)
    """Of a database: its `[connections.far]`."""

    def written(self, table: Table, number: int) -> Written:
        """Write a delivery of a table."""
        columns = table.later if number else table.columns
        dice = random.Random(table.seed)
        if self.connection:
            kinds = {"row": "int", **{column.name: column.kind for column in columns}}
            return self.write(table.delivery(number), dice, kinds)
        return self.write(table.delivery(number), dice)


WRITERS: list[Writer] = []
TYPED = ("deep", "map")
ALL = tuple(KINDS)
PLAIN = tuple(kind for kind in KINDS if kind not in ("bytes", "list", "struct", *TYPED))


def writer(
    name: str, ending: str, *without: str, kinds: tuple[str, ...] = PLAIN, **more: Any
) -> Any:
    """Register a function as the writer of all kinds of values but some."""

    def registered(write: Any) -> Any:
        left = tuple(kind for kind in kinds if kind not in without)
        WRITERS.append(Writer(name, ending, left, write, **more))
        return write

    return registered


def as_text(value: Any) -> str | None:
    """What most programs write for a value in text."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(sep=" ")
        case Decimal():
            return f"{value:f}"
        case float():
            return repr(value)
    return str(value)


def rows_of(columns: Values) -> list[tuple[Any, ...]]:
    return list(zip(*columns.values(), strict=True))


def texts_of(columns: Values) -> dict[str, list[str | None]]:
    return {name: [as_text(value) for value in values] for name, values in columns.items()}


# CSV: what is empty is null unless it is quoted, which only some libraries tell apart.


@writer("csv by Python", ".csv")
def _csv_python(columns: Values, dice: random.Random) -> Written:
    texts, out = texts_of(columns), io.StringIO()
    everything = dice.random() < 0.3
    rows = csv.writer(
        out,
        delimiter=dice.choice(",;|\t"),
        quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL,
        lineterminator=dice.choice(("\n", "\r\n")),
    )
    rows.writerow(texts)
    rows.writerows(rows_of(texts))
    encoding = dice.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16"))
    return out.getvalue().encode(encoding), {
        name: [value or ("" if everything else None) for value in values]
        for name, values in texts.items()
    }


@writer("csv by polars", ".csv")
def _csv_polars(columns: Values, dice: random.Random) -> Written:
    import polars as pl

    texts = texts_of(columns)
    frame = pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))
    data = frame.write_csv(
        separator=dice.choice(",;|\t"), line_terminator=dice.choice(("\n", "\r\n"))
    )
    return data.encode(), texts


@writer("csv by pandas", ".csv.gz")
def _csv_pandas(columns: Values, dice: random.Random) -> Written:
    import gzip

    import pandas as pd

    texts = texts_of(columns)
    data = pd.DataFrame(texts, dtype=object).to_csv(index=False, sep=dice.choice(",;|\t"))
    values = {name: [value or None for value in values] for name, values in texts.items()}
    return gzip.compress(data.encode()), values


@writer("csv by Arrow", ".csv")
def _csv_arrow(columns: Values, dice: random.Random) -> Written:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    texts, out = texts_of(columns), io.BytesIO()
    table = pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})
    options = arrow_csv.WriteOptions(delimiter=dice.choice(",;|\t"))
    arrow_csv.write_csv(table, out, options)
    return out.getvalue(), texts


# JSON: numbers as they are written; everything else is text.


def _json_values(columns: Values) -> Values:
    def value_of(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str | list | dict):
            return value
        return as_text(value)

    return {name: [value_of(value) for value in values] for name, values in columns.items()}


def _records(columns: Values) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows_of(columns)]


@writer("json lines by Python", ".jsonl", "bytes", *TYPED, kinds=ALL)
def _json_lines(columns: Values, dice: random.Random) -> Written:
    values, plain = _json_values(columns), dice.random() < 0.5
    lines = [json.dumps(row, ensure_ascii=plain) for row in _records(values)]
    return ("\n".join(lines) + "\n").encode(), values


@writer("json lines by polars", ".ndjson", "uint64", kinds=PLAIN)
def _json_polars(columns: Values, _: random.Random) -> Written:
    import polars as pl

    values = _json_values(columns)
    frame = pl.DataFrame(
        {name: pl.Series(name, each, strict=False) for name, each in values.items()}
    )
    out = io.BytesIO()
    frame.write_ndjson(out)
    return out.getvalue(), values


@writer(
    "json by Python",
    ".json",
    "bytes",
    *TYPED,
    kinds=ALL,
    options=lambda _: {"json": {"records": "$"}},
)
def _json_array(columns: Values, dice: random.Random) -> Written:
    values = _json_values(columns)
    return json.dumps(_records(values), indent=dice.choice((None, 1))).encode(), values


# Parquet: types and all.


def arrow_table(columns: Values, dice: random.Random, *, exact: bool = False) -> Any:
    import pyarrow as pa

    def array(values: list[Any]) -> Any:
        values = [str(value) if isinstance(value, uuid.UUID) else value for value in values]
        if exact and any(isinstance(value, datetime) and value.tzinfo for value in values):
            values = [value and value.astimezone(UTC) for value in values]
        kept = [value for value in values if value is not None]
        if kept and all(isinstance(value, Decimal) for value in kept):
            return pa.array(
                values, pa.decimal128(38, max(-int(v.as_tuple().exponent) for v in kept))
            )
        if not kept:
            return pa.nulls(len(values))
        if isinstance(kept[0], Pairs):
            pairs = [value if value is None else list(value.items()) for value in values]
            return pa.array(pairs, pa.map_(pa.string(), pa.timestamp("us", "UTC")))
        if isinstance(kept[0], int) and max(kept) >= 2**63:
            return pa.array(values, pa.uint64())
        result = pa.array(values)
        if not exact and pa.types.is_string(result.type) and dice.random() < 0.3:
            return result.dictionary_encode()
        return result

    return pa.table({name: array(values) for name, values in columns.items()})


@writer("parquet by Arrow", ".parquet", kinds=ALL)
def _parquet_arrow(columns: Values, dice: random.Random) -> Written:
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(
        arrow_table(columns, dice),
        out,
        compression=dice.choice(("snappy", "zstd", "none", "gzip")),
        version=dice.choice(("1.0", "2.4", "2.6")),
        data_page_version=dice.choice(("1.0", "2.0")),
        use_dictionary=dice.random() < 0.5,
        row_group_size=dice.choice((3, 1000)),
        store_decimal_as_integer=dice.random() < 0.3,
    )
    return out.getvalue(), columns


@writer("parquet by polars", ".parquet", *TYPED, kinds=ALL)
def _parquet_polars(columns: Values, dice: random.Random) -> Written:
    import polars as pl

    out = io.BytesIO()
    frame = pl.from_arrow(arrow_table(columns, dice, exact=True))
    assert isinstance(frame, pl.DataFrame)
    frame.write_parquet(out, compression=dice.choice(("zstd", "snappy", "lz4")))
    return out.getvalue(), columns


@writer("parquet by pandas", ".parquet", "edge_date", "uint64")
def _parquet_pandas(columns: Values, dice: random.Random) -> Written:
    import pandas as pd

    out = io.BytesIO()
    values = {
        name: [str(value) if isinstance(value, uuid.UUID) else value for value in each]
        for name, each in columns.items()
    }
    frame = pd.DataFrame({name: pd.Series(each, dtype=object) for name, each in values.items()})
    frame.to_parquet(out, index=dice.random() < 0.2 and "id" in values)
    return out.getvalue(), columns


# Workbooks: numbers are doubles; dates have a format.

EXCEL = ("int", "int32", "bool", "float", "whole_float", "date", "seconds", "uuid", *TEXTS)


def _cells(columns: Values) -> Values:
    """Both libraries write 16 digits. What is empty isn't there."""

    def cell(value: Any) -> Any:
        if isinstance(value, uuid.UUID):
            return str(value)
        if isinstance(value, float):
            return float(f"{value:.16G}")
        return value.replace("\r", "") or None if isinstance(value, str) else value

    return {name: [cell(value) for value in values] for name, values in columns.items()}


@writer("excel by openpyxl", ".xlsx", kinds=EXCEL)
def _excel_openpyxl(columns: Values, _: random.Random) -> Written:
    import openpyxl

    values, book, out = _cells(columns), openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    sheet.append(list(values))
    for number, row in enumerate(rows_of(values), 2):
        for place, value in enumerate(row, 1):
            cell = sheet.cell(number, place, value)
            if isinstance(value, str):
                cell.data_type = "s"
    book.save(out)
    return out.getvalue(), values


@writer("excel by xlsxwriter", ".xlsx", kinds=EXCEL)
def _excel_xlsxwriter(columns: Values, _: random.Random) -> Written:
    import xlsxwriter

    values, out = _cells(columns), io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        days = book.add_format({"num_format": "yyyy-mm-dd"})
        moments = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet = book.add_worksheet()
        for place, (name, each) in enumerate(values.items()):
            sheet.write_string(0, place, name)
            for row, value in enumerate(each, 1):
                if isinstance(value, str):
                    sheet.write_string(row, place, value)
                elif isinstance(value, datetime | date):
                    form = moments if isinstance(value, datetime) else days
                    sheet.write_datetime(row, place, value, form)
                elif value is not None:
                    sheet.write(row, place, value)
    return out.getvalue(), values


# XML and fixed width.


def trimmed(text: str | None) -> str | None:
    """An element's text without the white space around it; what is empty is missing."""
    return (text or "").strip(" \t\r\n") or None


def _xml_name(name: str) -> str:
    return name.replace(" ", "_").replace(".", "-")


@writer("xml by lxml", ".xml", options=lambda _: {"xml": {"records": "/rows/row"}})
def _xml(columns: Values, dice: random.Random) -> Written:
    from lxml import etree

    root, texts = etree.Element("rows"), texts_of(columns)
    of_attributes = {name for name in texts if dice.random() < 0.3}
    for row in rows_of(texts):
        element = etree.SubElement(root, "row")
        for name, value in zip(texts, row, strict=True):
            if value and name in of_attributes:
                element.set(_xml_name(name), value)
            elif value is not None:
                etree.SubElement(element, _xml_name(name)).text = value
    data = etree.tostring(root, xml_declaration=True, encoding=dice.choice(("UTF-8", "UTF-16")))
    read = etree.fromstring(data)
    values: Values = {_xml_name(name): [] for name in texts}
    for element in read:
        for name in values:
            child = element.find(name)
            values[name].append(element.get(name) if child is None else trimmed(child.text))
    return data, values


@writer("xml by hand", ".xml", options=lambda _: {"xml": {"records": "/rows/row"}})
def _xml_by_hand(columns: Values, dice: random.Random) -> Written:
    """With references and CDATA."""
    texts = texts_of(columns)
    lines = ["<rows>"]
    for row in rows_of(texts):
        children = ""
        for name, value in zip(texts, row, strict=True):
            if value is None:
                continue
            if dice.random() < 0.5 and "]]>" not in value and "\r" not in value:
                children += f"<{_xml_name(name)}><![CDATA[{value}]]></{_xml_name(name)}>"
            else:
                text = escape(value, {"\r": "&#13;"})
                children += f"<{_xml_name(name)}>{text}</{_xml_name(name)}>"
        lines.append(f"<row>{children}</row>")
    return "\n".join([*lines, "</rows>"]).encode(), {
        _xml_name(name): [trimmed(value) for value in values] for name, values in texts.items()
    }


FIXED = tuple(kind for kind in PLAIN if kind not in ("blanks", "empty"))
WIDTH = 60


def _fixed_options(columns: Values) -> dict[str, Any]:
    return {"fixed_width": [{"name": name, "width": WIDTH} for name in columns]}


@writer("fixed width", ".txt", kinds=FIXED, options=_fixed_options)
def _fixed(columns: Values, dice: random.Random) -> Written:
    texts = {
        name: [None if text is None else text[:WIDTH].strip() or None for text in values]
        for name, values in texts_of(columns).items()
    }
    end = dice.choice(("\n", "\r\n"))
    lines = ["".join(f"{text or '':<{WIDTH}}" for text in row) for row in rows_of(texts)]
    return (end.join(lines) + end).encode(), texts
