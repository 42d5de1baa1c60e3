"""dBase and FoxPro tables (DBF). Numbers are read from their text, digit by digit."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from struct import unpack, unpack_from
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Disagrees,
    Fields,
    Opened,
    Parquet,
    PartitionSpec,
    SourceSchema,
    UnpackLimits,
    place_for,
    printable,
    shown,
)
from headrace_legacy.text_lines import read_encoding

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 50_000
MEMO = "MGPW"
"""Types whose values are in another file."""
NULLS = "0"
"""The type of FoxPro's field with the nulls of a record."""
_HEADER = 32
_NULLABLE = 0x02
_DECIMALS_MAX = 37
_DRIVERS = {
    "cp1250": (0xC8,),
    "cp1251": (0xC9,),
    "cp1252": (
        0x03,
        0x58,
        0x59,
    ),
    "cp1253": (0xCB,),
    "cp1254": (0xCA,),
    "cp1255": (0x7D,),
    "cp1256": (0x7E,),
    "cp1257": (0xCC,),
    "cp437": (
        0x01,
        0x09,
        0x0B,
        0x0D,
        0x0F,
        0x11,
        0x15,
        0x18,
        0x19,
        0x1B,
    ),
    "cp737": (0x6A,),
    "cp850": (
        0x02,
        0x0A,
        0x0E,
        0x10,
        0x12,
        0x14,
        0x16,
        0x1A,
        0x1D,
        0x25,
        0x37,
    ),
    "cp852": (
        0x1F,
        0x22,
        0x23,
        0x40,
        0x64,
        0x87,
    ),
    "cp857": (0x6B,),
    "cp860": (0x24,),
    "cp861": (0x67,),
    "cp863": (0x1C,),
    "cp865": (
        0x08,
        0x17,
        0x66,
    ),
    "cp866": (
        0x26,
        0x65,
    ),
    "cp874": (
        0x50,
        0x7C,
    ),
    "cp932": (
        0x13,
        0x7B,
    ),
    "cp936": (
        0x4D,
        0x7A,
    ),
    "cp949": (
        0x4E,
        0x79,
    ),
    "cp950": (
        0x4F,
        0x78,
    ),
}
"""Encoding → the language drivers that a file may state."""
_ENCODINGS = {driver: name for name, drivers in _DRIVERS.items() for driver in drivers}
_JULIAN_DAY_0001 = 1_721_425
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?", re.ASCII)


_FLAGS = {"": None, "?": None, **dict.fromkeys("TtYy", True), **dict.fromkeys("FfNn", False)}


class Dbf(Parquet):
    """Tables of dBase, FoxPro and shapefiles. Deleted records are left out."""

    name = "dbf"
    meaning = "how a table of dBase is read"
    endings = (".dbf",)
    fields = ("encoding", "memo")
    unmistakable = True

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `encoding` and `memo`."""
        read_encoding(fields)
        fields.choice("memo", ("refused", "left_out"), "refused")
        return super().read(fields, partition)

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Write the records to a Parquet file."""
        import pyarrow.parquet as pq

        del pinned
        options = opened.options.get(self.name) or {}
        path = Path(opened.path)
        size = path.stat().st_size
        if not size:
            raise CannotRead("the file is empty", code="delivery_empty")
        target = place_for(opened, temporary)
        try:
            with path.open("rb") as file:
                table = _Table(file, size, options)
                with pq.ParquetWriter(target.path, table.schema) as writer:
                    for batch in table.batches():
                        writer.write_batch(batch)
                        bounds.check(Path(target.path).stat().st_size, size)
            table.check(opened)
        except BaseException:
            target.discard()
            raise
        return target


class _Field(NamedTuple):
    name: str
    kind: str
    start: int
    width: int
    decimals: int
    flags: int


class _Table:
    """A table that is open."""

    def __init__(self, file: BinaryIO, size: int, options: Mapping[str, Any]) -> None:
        start = file.read(_HEADER)
        _require_readable(start)
        self._count, header, self._width = unpack("<IHH", start[4:12])
        if header <= _HEADER or not self._width:
            raise CannotRead("it isn't a DBF table: its header has no fields")
        self._encoding = options.get("encoding") or _ENCODINGS.get(start[29], "ascii")
        self._file = file
        self.problem: Disagrees | None = None
        self.fields = self._read_fields(file.read(header - _HEADER))
        self._require_records(size - header)
        file.seek(header)
        memo = {field.kind for field in self.fields} & set(MEMO)
        if memo and options.get("memo") != "left_out":
            raise CannotRead(
                "it has memo fields, whose texts are in another file: dbf: {memo: left_out} reads"
                " the others"
            )
        self._columns = [field for field in self.fields if field.kind not in MEMO + NULLS]
        self._nullable = [field.name for field in self.fields if field.flags & _NULLABLE]

    def _require_records(self, stored: int) -> None:
        """Compare the number of records with the bytes that are there."""
        if stored < self._count * self._width:
            raise CannotRead(
                f"its header states {self._count:,} records, and it has {stored // self._width:,}",
                code="delivery_truncated",
            )
        if stored >= (self._count + 1) * self._width:
            self._disagrees(
                f"its header states {self._count:,} records, and it has {stored // self._width:,}"
            )

    def check(self, opened: Opened) -> None:
        """Raise the first contradiction, unless a person has accepted it."""
        if self.problem is not None and not opened.accepted:
            raise self.problem

    def _disagrees(self, reason: str, line: int | None = None) -> None:
        self.problem = self.problem or Disagrees(reason, line=line)

    def _read_fields(self, data: bytes) -> list[_Field]:
        fields, start = [], 1
        for at in range(0, len(data) - 31, 32):
            if data[at] == 0x0D:
                break
            name = data[at : at + 11].split(b"\0")[0].decode(self._encoding, "replace").strip()
            kind, width, decimals = chr(data[at + 11]), data[at + 16], data[at + 17]
            if kind == "C":
                width, decimals = width + 256 * decimals, 0
            if kind not in "CNFDLIBOYT@" + MEMO + NULLS:
                raise CannotRead(f"the field {shown(name)} has an unknown type: {shown(kind)}")
            if kind == "N" and decimals > min(width, _DECIMALS_MAX):
                raise CannotRead(f"the field {shown(name)} has {decimals} decimals")
            fields.append(_Field(name, kind, start, width, decimals, data[at + 18]))
            start += width
        if start != self._width or not fields:
            raise CannotRead(
                f"its fields have {start:,} bytes, and its records {self._width:,}: it isn't a DBF"
                " table, or is damaged"
            )
        return fields

    @property
    def schema(self) -> pa.Schema:
        """The columns with Arrow's types."""
        import pyarrow as pa

        types = {
            "C": pa.string(),
            "D": pa.date32(),
            "L": pa.bool_(),
            "I": pa.int32(),
            "F": pa.float64(),
            "B": pa.float64(),
            "O": pa.float64(),
            "Y": pa.decimal128(19, 4),
            "T": pa.timestamp("us"),
            "@": pa.timestamp("us"),
        }
        return pa.schema(
            [
                (field.name, types.get(field.kind) or pa.decimal128(_digits(field), field.decimals))
                for field in self._columns
            ]
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the records that aren't deleted."""
        import pyarrow as pa

        schema, number = self.schema, 0
        while number < self._count:
            size = min(BATCH_ROWS, self._count - number)
            data = self._file.read(size * self._width)
            rows = []
            for at in range(0, len(data), self._width):
                number += 1
                record = data[at : at + self._width]
                if record[:1] == b" ":
                    rows.append(self._row(record, number))
                elif record[:1] != b"*":
                    raise CannotRead(
                        f"record {number:,}: it isn't marked as a record, nor as a deleted one",
                        line=number,
                    )
            yield pa.record_batch(
                [
                    pa.array([row[place] for row in rows], field.type)
                    for place, field in enumerate(schema)
                ],
                schema,
            )

    def _row(self, record: bytes, number: int) -> list[Any]:
        nulls = self._nulls(record)
        row = []
        for field in self._columns:
            value = record[field.start : field.start + field.width]
            try:
                row.append(None if field.name in nulls else self._value(field, value, number))
            except (ValueError, ArithmeticError, LookupError, struct.error) as error:
                text = printable(value.decode("latin-1"), 40)
                raise CannotRead(
                    f"record {number:,}: {shown(field.name)} can't be read: {marked(text)}",
                    line=number,
                ) from error
        return row

    def _nulls(self, record: bytes) -> set[str]:
        """Return the fields that FoxPro's flags say to be null."""
        flags = next((field for field in self.fields if field.kind == NULLS), None)
        if flags is None:
            return set()
        bits = int.from_bytes(record[flags.start : flags.start + flags.width], "little")
        return {name for place, name in enumerate(self._nullable) if bits >> place & 1}

    def _value(self, field: _Field, value: bytes, number: int) -> Any:
        match field.kind:
            case "C":
                return self._text(value)
            case "I":
                return unpack("<i", value)[0]
            case "B" | "O":
                return unpack("<d", value)[0]
            case "Y":
                return Decimal(unpack("<q", value)[0]).scaleb(-4)
            case "T" | "@":
                return _instant(value)
        text = value.strip(b" \0").decode("ascii")
        if field.kind == "L":
            return _FLAGS[text]
        if field.kind == "D":
            return datetime.strptime(text, "%Y%m%d").date() if text.strip("0") else None  # noqa: DTZ007
        if text and not text.strip("*"):
            self._disagrees(
                f"record {number:,}: {shown(field.name)} is full of asterisks: the number didn't"
                " fit when it was written",
                number,
            )
            return None
        if text in ("", "."):
            return None
        if not _NUMBER.fullmatch(text):
            raise ValueError(text)
        return _double(text) if field.kind == "F" else _decimal(text, field)

    def _text(self, value: bytes) -> str:
        try:
            return value.split(b"\0")[0].rstrip(b" ").decode(self._encoding)
        except UnicodeDecodeError as error:
            raise CannotRead(
                f"text isn't {self._encoding}, which its header says or leaves open: declare it,"
                " such as dbf: {encoding: cp1252}",
                code="delivery_encoding",
            ) from error


def _require_readable(start: bytes) -> None:
    if len(start) < _HEADER:
        raise CannotRead("it isn't a DBF table: it has no header")
    if start[0] == 2 or start[0] & 7 == 4:
        raise CannotRead("tables of dBase II and 7 aren't read")
    if start[15] & 1:
        raise CannotRead("the table is encrypted", code="delivery_encrypted")


def _digits(field: _Field) -> int:
    return min(38, max(field.width, field.decimals + 1))


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _decimal(text: str, field: _Field) -> Decimal:
    """Return a number. Raises ValueError or ArithmeticError for what its column can't have."""
    value = Decimal(text)
    exact = value.quantize(Decimal(1).scaleb(-field.decimals)) if value else Decimal()
    if exact != value or exact.adjusted() + 1 > _digits(field) - field.decimals:
        raise ValueError(text)
    return exact


def _instant(value: bytes) -> datetime | None:
    day, milliseconds = unpack_from("<ii", value)
    if not day or not value.strip():
        return None
    midnight = datetime.combine(date.fromordinal(day - _JULIAN_DAY_0001), datetime.min.time())
    return midnight + timedelta(milliseconds=milliseconds)
