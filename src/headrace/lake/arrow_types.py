"""Arrow types that say more about values than the storage below them.

An Arrow schema is read here in its own encoding (a flatbuffer, Arrow's `Schema.fbs`): importing
pyarrow for it would take longer than many a delivery.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator

import duckdb

from headrace.lake.sqltext import literal

_DAMAGED = (binascii.Error, struct.error, IndexError, UnicodeDecodeError, RecursionError)
_SCHEMA, _FIELDS = 2, 1
"""Places of a message's schema, and of that schema's columns."""
_NAME, _KIND, _TYPE, _CHILDREN, _WORDS = 0, 2, 3, 5, 6
"""Places of what is known of a column."""
_INTEGER, _DURATION = 2, 18
_AS_WRITTEN = (4, 5, 15, 19, 20, 23, 24)
"""Kinds of text and bytes."""
_BITS_MAX = 64
_READ = {True: (b"pandas.interval",), False: (b"arrow.bool8",)}
"""Extension types that DuckDB reads as they are meant, by whether they are in a Parquet file.

A file's intervals are read by their ends; which of them belong to it is known to its vendor.
"""


def lost_in_file(connection: duckdb.DuckDBPyConnection, path: str) -> tuple[str, str] | None:
    """Return the first column of a Parquet file that `meanings_lost` yields; None for none.

    fastparquet writes durations as times of the day; what pandas says beside them tells. Other
    writers leave these words as they are when they drop or convert a column.
    """
    try:
        row = connection.execute(
            f"SELECT value FROM parquet_kv_metadata({literal(path)}) WHERE key = 'ARROW:schema'"
        ).fetchone()
        return (
            row and next(meanings_lost(base64.b64decode(row[0]), parquet=True), None)
        ) or connection.execute(
            "SELECT name, 'durations, which Parquet keeps as times of the day' FROM ("
            'SELECT unnest(from_json(decode(value), \'{"columns": [{"name": "VARCHAR",'
            ' "numpy_type": "VARCHAR"}]}\').columns, recursive := true)'
            f" FROM parquet_kv_metadata({literal(path)}) WHERE key = 'pandas')"
            " WHERE starts_with(numpy_type, 'timedelta64') AND name IN (SELECT name FROM"
            f" parquet_schema({literal(path)}) WHERE starts_with(logical_type, 'TimeType') OR"
            " converted_type IN ('TIME_MILLIS', 'TIME_MICROS'))"
        ).fetchone()
    except (duckdb.InvalidInputException, duckdb.ConversionException, *_DAMAGED):
        return None  # no file that can be read, or the types are Parquet's own


def meanings_lost(schema: bytes, *, parquet: bool) -> Iterator[tuple[str, str]]:
    """Yield the columns of which only the storage would be read, each with what it has.

    That is an extension type over numbers or lists, such as pandas's periods: whoever doesn't know
    it takes months for whole numbers. Text and bytes are what they are. In a `parquet` file
    durations are bare numbers as well, without their unit, and integers of 128 bits are bytes.

    `schema` is as Arrow serializes it. Raises one of `_DAMAGED` for anything else.
    """
    data = schema[8:]
    for column in _tables(data, _target(data, _place(data, _target(data, 0), _SCHEMA)), _FIELDS):
        if lost := _lost(data, column, parquet=parquet):
            yield _text(data, column, _NAME).decode(), lost


def _lost(data: bytes, column: int, *, parquet: bool) -> str:
    kind = data[_place(data, column, _KIND)]
    words = {_text(data, item, 0): _text(data, item, 1) for item in _tables(data, column, _WORDS)}
    extension = words.get(b"ARROW:extension:name", b"")
    if extension and extension not in _READ[parquet] and kind not in _AS_WRITTEN:
        return f"values of the extension type `{extension.decode()}`"
    if parquet and kind == _DURATION:
        return "durations, which Parquet keeps as numbers without a unit"
    if parquet and kind == _INTEGER and _bits(data, column) > _BITS_MAX:
        return f"whole numbers of over {_BITS_MAX} bits"
    parts = (_lost(data, part, parquet=parquet) for part in _tables(data, column, _CHILDREN))
    return next(filter(None, parts), "")


def _bits(data: bytes, column: int) -> int:
    return data[_place(data, _target(data, _place(data, column, _TYPE)), 0)]


# A flatbuffer: tables, which find their fields by a list of offsets, vectors and texts.


def _place(data: bytes, table: int, field: int) -> int:
    """Return where a field of a table is; 0 if the table lacks it."""
    offsets = table - struct.unpack_from("<i", data, table)[0]
    slot = 4 + 2 * field
    if slot >= struct.unpack_from("<H", data, offsets)[0]:
        return 0
    offset = struct.unpack_from("<H", data, offsets + slot)[0]
    return table + offset if offset else 0


def _target(data: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


def _tables(data: bytes, table: int, field: int) -> Iterator[int]:
    """Yield the tables in the vector that a field is."""
    place = _place(data, table, field)
    if place:
        vector = _target(data, place)
        for number in range(struct.unpack_from("<I", data, vector)[0]):
            yield _target(data, vector + 4 + 4 * number)


def _text(data: bytes, table: int, field: int) -> bytes:
    place = _place(data, table, field)
    if not place:
        return b""
    start = _target(data, place)
    return data[start + 4 : start + 4 + struct.unpack_from("<I", data, start)[0]]
