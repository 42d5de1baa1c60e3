"""How a source's files are read, where their bytes alone don't say it: `excel`, `fixed_width`, `json`, `xml` and `csv`."""

from __future__ import annotations

import re
from typing import Any

from headrace.model.documents import LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.nodes import PartitionSpec
from headrace.model.reporting import Report, shown

FILE_OPTIONS = ("excel", "fixed_width", "json", "xml", "csv")
RECORD_MAX = 1_000_000
"""Characters of a fixed-width line, bytes of a record."""
COLUMNS_MAX = 4_096
ROW_MAX = 1_048_576
"""Rows of an Excel sheet."""
SHEET_CHARACTERS_MAX = 255
SINGLE_BYTE = (
    "latin-1", "iso-8859-15", "cp1252", "cp1250", "cp437", "cp850", "ascii", "cp037", "cp273", "cp500", "cp1140",
)  # fmt: skip
"""Encodings with one byte a character; those of EBCDIC begin with cp037."""
ENCODINGS = ("utf-8", *SINGLE_BYTE)
RANGE = re.compile(r"([A-Za-z]{1,3})([1-9][0-9]{0,6})?:([A-Za-z]{1,3})([1-9][0-9]{0,6})?")
_JSON_PATH = re.compile(r"\$(\.[A-Za-z_][\w-]*|\['[^'\"\\\]]{1,200}'\])*")
_XML_PATH = re.compile(r"/{0,2}[\w.-]+(/[\w.-]+)*")
_TYPE = re.compile(
    r"(tinyint|smallint|integer|int|bigint|double|float|boolean|bool|date|time|timestamp|timestamptz|varchar|text"
    r"|(decimal|numeric)\(\s*([1-9]|[12]\d|3[0-8])\s*,\s*\d{1,2}\s*\))",
    re.IGNORECASE,
)


def read_excel(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001 - how files are read doesn't depend on it
    """`excel: {sheet: Data, header: 4, range: "A4:F200"}`."""
    block = fields.block_of("excel")
    if block is None:
        return
    inner = Fields(block, fields.report, ("sheet", "header", "range"), what="`excel`")
    sheet = inner.raw("sheet")
    if isinstance(sheet, str) and len(sheet) > SHEET_CHARACTERS_MAX:
        inner.refuse("sheet", f"a sheet's name of {len(sheet):,} characters", f"at most {SHEET_CHARACTERS_MAX}")
    elif "sheet" in inner and not isinstance(sheet, str):
        inner.whole("sheet", minimum=1, maximum=10_000)
    inner.whole("header", minimum=1, maximum=ROW_MAX)
    cells = inner.text("range") if "range" in inner else None
    if cells is not None and not RANGE.fullmatch(cells):
        inner.refuse("range", f"{shown(cells)} is no range of cells", 'write range: "A3:F200", or "A:F" for all rows')


def read_json(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """`json: {records: "$.data.items", flatten: true}`."""
    _records(fields, "json", _JSON_PATH, 'write records: "$.data.items"')


def read_xml(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """`xml: {records: "//row", flatten: true}`."""
    if (inner := _records(fields, "xml", _XML_PATH, 'write records: "//row" or "/feed/entry"')) is not None:
        inner.required("records", 'add records: "//row", the elements that are rows')


def _records(fields: Fields, name: str, path: re.Pattern[str], hint: str) -> Fields | None:
    block = fields.block_of(name)
    if block is None:
        return None
    inner = Fields(block, fields.report, ("records", "flatten"), what=f"`{name}`")
    records = inner.text("records") if "records" in inner else None
    if records is not None and not path.fullmatch(records):
        inner.refuse("records", f"{shown(records)} isn't a path to records that is understood", hint)
    inner.flag("flatten")
    return inner


def read_csv(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """`csv: {delimiter: ";", quote: "'", encoding: cp1252, header: false, columns: [a, b], null: ["-"], decimal: ","}`."""
    block = fields.block_of("csv")
    if block is None:
        return
    known = ("delimiter", "quote", "encoding", "header", "columns", "null", "decimal")
    inner = Fields(block, fields.report, known, what="`csv`")
    for name in ("delimiter", "quote"):
        sign = inner.raw(name)
        if name in inner and (not isinstance(sign, str) or len(sign) != 1 or sign in "\r\n\0" or not sign.isascii()):
            inner.refuse(name, f"`{name}` must be one character", f'write {name}: ";"')
    inner.choice("encoding", ENCODINGS, "utf-8")
    inner.choice("decimal", (",", "."), ".")
    inner.texts("null")
    header = inner.flag("header")
    columns = inner.texts("columns")
    if header is False and not columns:
        inner.refuse("header", "without a header the columns need names", "add columns: [a, b]")
    if header is not False and columns:
        inner.refuse("columns", "`columns` names what a file without a header holds", "add header: false", code="conflicting_fields")
    _once(inner.report, inner.line("columns"), columns)


def read_fixed_width(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001
    """A list of columns, or `{columns: […], skip: 1, encoding: cp037, record: 300}`."""
    written = fields.raw("fixed_width")
    columns: Any = written
    if isinstance(written, LocatedMapping):
        inner = Fields(written, fields.report, ("columns", "skip", "encoding", "record"), what="`fixed_width`")
        columns = inner.raw("columns")
        inner.whole("skip", minimum=0, maximum=RECORD_MAX)
        record = inner.whole("record", minimum=1, maximum=RECORD_MAX)
        if record and inner.choice("encoding", ENCODINGS, "utf-8") not in SINGLE_BYTE:
            inner.refuse(
                "record", "records of bytes need an encoding of one byte a character", "add encoding: latin-1, or cp037 for EBCDIC"
            )
        inner.choice("encoding", ENCODINGS, "utf-8")
    if not isinstance(columns, list) or not 0 < len(columns) <= COLUMNS_MAX:
        fields.refuse(
            "fixed_width", "`fixed_width` lists no columns", "write fixed_width: [{name: id, width: 8}, {name: amount, width: 12}]"
        )
        return
    names = [name for item in columns if (name := _column(item, fields)) is not None]
    if len(names) == len([item for item in columns if isinstance(item, LocatedMapping) and "name" in item]):
        _once(fields.report, fields.line("fixed_width"), names)
    if not any(isinstance(item, LocatedMapping) and "name" in item for item in columns):
        fields.refuse("fixed_width", "`fixed_width` names no column", "give at least one column a name")


def _column(item: Any, fields: Fields) -> str | None:
    """One column's problems; its name."""
    if not isinstance(item, LocatedMapping):
        fields.refuse("fixed_width", f"a column is {kind_of(item)}", "write {name: id, width: 8}", code="wrong_type")
        return None
    inner = Fields(item, fields.report, ("name", "width", "type", "start", "scale", "sign"), what="a column of `fixed_width`")
    if "width" not in inner:
        inner.report.error("missing_field", item.line, "a column of `fixed_width` has no `width`", "add width: 8")
    inner.whole("width", minimum=1, maximum=RECORD_MAX)
    inner.whole("start", minimum=1, maximum=RECORD_MAX)
    inner.whole("scale", minimum=0, maximum=38)
    inner.choice("sign", ("leading", "overpunch"), "leading")
    kind = inner.text("type") if "type" in inner else None
    if kind is not None and not _TYPE.fullmatch(kind.strip()):
        inner.refuse("type", f"{shown(kind)} is no type of a column", "write type: bigint, date, decimal(9,2) or varchar")
    return inner.text("name") if "name" in inner else None


def _once(report: Report, line: int, names: list[str] | tuple[str, ...]) -> None:
    folded = [name.lower() for name in names]
    twice = next((name for name in folded if folded.count(name) > 1), None)
    if twice is not None:
        report.error("wrong_value", line, f"the column {shown(twice)} is listed twice", "give each column a name of its own")
