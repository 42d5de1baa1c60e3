"""The footer of a Parquet file that somebody else wrote: what it states, and a new one around the
same column chunks.

A column chunk doesn't know its place in the file or its neighbours: the footer says both. So a
column can be added by appending its chunks and writing another footer, without decoding the others.
The new footer is written from the parts that are listed here. Nothing that nobody has confirmed is
taken over: statistics, bloom filters, page indexes, sort orders and key-value metadata.

Thrift's compact protocol is read into dictionaries, from a field's id to its type and value, as
in https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TException, TType
from thrift.transport.TTransport import TMemoryBuffer

MAGIC = b"PAR1"
PAGE_HEADER_BYTES = 512
"""Bytes read for a page header at first; with long statistics one is larger."""
PAGE_HEADER_BYTES_MAX = 1 << 20
FOOTER_BYTES_MAX = 64 << 20
PAGES_MIN = 1_000
"""Pages that a file may have in any case; beyond them, pages have `PAGE_VALUES_MIN` values."""
PAGE_VALUES_MIN = 1_000
NULLABLE, PLAIN, RLE, RLE_DICTIONARY = 1, 0, 3, 8
BYTE_ARRAY = 6
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3
UTF8_CONVERTED, STRING_TYPE = 0, 1
UNCOMPRESSED = 0


class Unusable(Exception):
    """A file whose column chunks can't be used as they are; the message says why."""


Struct = dict[int, tuple[int, Any]]
_SCALARS = {
    TType.BOOL: "Bool",
    TType.BYTE: "Byte",
    TType.I16: "I16",
    TType.I32: "I32",
    TType.I64: "I64",
    TType.DOUBLE: "Double",
    TType.STRING: "Binary",
}


def _read_struct(protocol: TCompactProtocol) -> Struct:
    fields: Struct = {}
    protocol.readStructBegin()
    while True:
        _, kind, number = protocol.readFieldBegin()
        if kind == TType.STOP:
            break
        fields[number] = (kind, _read_value(protocol, kind))
        protocol.readFieldEnd()
    protocol.readStructEnd()
    return fields


def _read_value(protocol: TCompactProtocol, kind: int) -> Any:
    if kind == TType.STRUCT:
        return _read_struct(protocol)
    if kind == TType.LIST:
        element, size = protocol.readListBegin()
        values = [_read_value(protocol, element) for _ in range(size)]
        protocol.readListEnd()
        return values
    return getattr(protocol, f"read{_SCALARS[kind]}")()


def _write_struct(protocol: TCompactProtocol, fields: Struct) -> None:
    protocol.writeStructBegin("")
    for number, (kind, value) in sorted(fields.items()):
        protocol.writeFieldBegin("", kind, number)
        _write_value(protocol, kind, value)
        protocol.writeFieldEnd()
    protocol.writeFieldStop()
    protocol.writeStructEnd()


def _write_value(protocol: TCompactProtocol, kind: int, value: Any) -> None:
    if kind == TType.STRUCT:
        _write_struct(protocol, value)
    elif kind == TType.LIST:
        element = _element_type(value)
        protocol.writeListBegin(element, len(value))
        for item in value:
            _write_value(protocol, element, item)
        protocol.writeListEnd()
    else:
        getattr(protocol, f"write{_SCALARS[kind]}")(value)


def _element_type(values: Sequence[Any]) -> int:
    """Return the type of a list's elements; the lists of a footer hold these three."""
    first = values[0]
    if isinstance(first, dict):
        return int(TType.STRUCT)
    return int(TType.STRING if isinstance(first, bytes) else TType.I32)


def _encoded(fields: Struct) -> bytes:
    buffer = TMemoryBuffer()
    _write_struct(TCompactProtocol(buffer), fields)
    return bytes(buffer.getvalue())


def _decoded(data: bytes) -> tuple[Struct, int]:
    """Return the struct at the start of `data`, and its length in bytes.

    Raises EOFError if `data` ends within it, and Unusable if it is none.
    """
    buffer = TMemoryBuffer(data)
    try:
        fields = _read_struct(TCompactProtocol(buffer))
    except (TException, KeyError, IndexError, struct.error, RecursionError) as error:
        raise Unusable("its metadata can't be parsed") from error
    return fields, len(data) - len(buffer.read(len(data)))


def _of(fields: Struct, number: int, default: Any = None) -> Any:
    return fields[number][1] if number in fields else default


def _struct_of(fields: Struct, number: int) -> Struct:
    """Return a field that is a struct, empty if it is absent. Raises Unusable for another kind."""
    kind, value = fields.get(number, (TType.STRUCT, {}))
    if kind != TType.STRUCT:
        raise Unusable("its metadata can't be parsed")
    return cast("Struct", value)


class ColumnSchema(NamedTuple):
    """A column without fields, as the footer describes it."""

    name: str
    physical: int
    """Parquet's number of the physical type."""
    width: int
    """Bytes of a FIXED_LEN_BYTE_ARRAY."""
    element: Struct

    @property
    def is_text(self) -> bool:
        """Whether readers take the bytes for UTF-8 text. Raises Unusable for a damaged type."""
        if 10 in self.element:
            return STRING_TYPE in _struct_of(self.element, 10)
        return bool(_of(self.element, 6) == UTF8_CONVERTED)

    @property
    def time_unit(self) -> str:
        """`ms` or `us` for points in time in milliseconds or microseconds; empty for others.

        Raises Unusable for a damaged type.
        """
        if 10 in self.element:
            units = _struct_of(_struct_of(_struct_of(self.element, 10), 8), 2)
            return "ms" if 1 in units else "us" if 2 in units else ""
        return {9: "ms", 10: "us"}.get(_of(self.element, 6), "")


class Chunk(NamedTuple):
    """One column of one row group: where its pages are, and how they are written."""

    begin: int
    dictionary: int | None
    data: int
    size_bytes: int
    unpacked_bytes: int
    codec: int
    encodings: tuple[int, ...]


class RowGroup(NamedTuple):
    """A row group's number of rows and its chunks, in the order of the columns."""

    rows: int
    chunks: tuple[Chunk, ...]


class Contents(NamedTuple):
    """What a file's footer states and its page headers confirm."""

    columns: tuple[ColumnSchema, ...]
    groups: tuple[RowGroup, ...]
    writer: bytes | None
    end: int
    """Offset behind the last column chunk."""


def read_contents(descriptor: int, size_bytes: int) -> Contents:
    """Read an open file's footer and page headers.

    Raises Unusable unless all columns are flat, each chunk lies in the file and its pages have as
    many values as the row group has rows.
    """
    try:
        return _contents(descriptor, size_bytes)
    except (EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unusable("its metadata can't be parsed") from error


def _contents(descriptor: int, size_bytes: int) -> Contents:
    end = os.pread(descriptor, 8, size_bytes - 8)
    footer_bytes = int.from_bytes(end[:4], "little")
    data_end = size_bytes - 8 - footer_bytes
    if end[4:] != MAGIC or footer_bytes > FOOTER_BYTES_MAX or data_end < len(MAGIC):
        raise Unusable("its footer can't be read")
    file, _ = _decoded(os.pread(descriptor, footer_bytes, data_end))
    if 8 in file or 9 in file:
        raise Unusable("it is encrypted or signed")
    columns = tuple(_columns(_of(file, 2)))
    rows = _of(file, 3)
    pages_max = PAGES_MIN + rows * len(columns) // PAGE_VALUES_MIN
    pages = _Pages(descriptor, data_end, pages_max)
    groups = tuple(_row_group(group, columns, pages) for group in _of(file, 4))
    if rows != sum(group.rows for group in groups) or not rows:
        raise Unusable("its number of rows isn't that of its row groups")
    last = max(chunk.begin + chunk.size_bytes for group in groups for chunk in group.chunks)
    return Contents(columns, groups, _of(file, 6), last)


def _columns(elements: Sequence[Struct]) -> Iterator[ColumnSchema]:
    root, *others = elements
    if _of(root, 5) != len(others) or not others:
        raise Unusable("it has nested columns")
    for element in others:
        if 5 in element or _of(element, 3) not in (0, NULLABLE):
            raise Unusable("it has nested columns")
        name = _of(element, 4).decode()
        yield ColumnSchema(name, _of(element, 1), _of(element, 2, 0), element)


def _row_group(group: Struct, columns: Sequence[ColumnSchema], pages: _Pages) -> RowGroup:
    rows, chunks = _of(group, 3), []
    for column, chunk in zip(columns, _of(group, 1), strict=True):
        meta = _of(chunk, 3)
        if 1 in chunk or 8 in chunk or 9 in chunk or meta is None:
            raise Unusable("a column chunk lies in another file or is encrypted")
        stated = (_of(meta, 1), _of(meta, 3), _of(meta, 5))
        if stated != (column.physical, [column.name.encode()], rows) or rows < 1:
            raise Unusable("a column chunk isn't that of its column")
        chunks.append(pages.chunk(meta, rows))
    return RowGroup(rows, tuple(chunks))


_PAGES = {DATA_PAGE: (5, 1, 2), DICTIONARY_PAGE: (7, 1, 2), DATA_PAGE_V2: (8, 1, 4)}
"""Where a page header states the values and their encoding: its field, and two fields in that."""


class _Page(NamedTuple):
    begin: int
    unpacked_bytes: int
    is_dictionary: bool
    values: int
    encoding: int


class _Pages:
    """Walks the page headers of column chunks, which lie before `data_end`."""

    def __init__(self, descriptor: int, data_end: int, pages_max: int) -> None:
        self._descriptor, self._data_end, self._pages_left = descriptor, data_end, pages_max

    def chunk(self, meta: Struct, rows: int) -> Chunk:
        size, codec = _of(meta, 7), _of(meta, 4)
        # Some writers state 0 where there is no dictionary, others call it the first data page.
        begin = min(_of(meta, 9), _of(meta, 11) or _of(meta, 9))
        if size < 1 or begin < len(MAGIC) or begin + size > self._data_end:
            raise Unusable("a column chunk lies outside the file's data")
        first, *others = self._between(begin, begin + size)
        pages = others if first.is_dictionary else [first, *others]
        if any(page.is_dictionary for page in pages) or sum(page.values for page in pages) != rows:
            raise Unusable("the pages of a column aren't those that the footer states")
        return Chunk(
            begin,
            begin if first.is_dictionary else None,
            pages[0].begin,
            size,
            sum(page.unpacked_bytes for page in (first, *others)),
            codec,
            tuple(sorted({RLE, *(page.encoding for page in (first, *others))})),
        )

    def _between(self, begin: int, end: int) -> Iterator[_Page]:
        """Yield the pages from `begin` to `end`."""
        at = begin
        while at < end:
            header, header_bytes = self._page(at)
            unpacked, packed = _of(header, 2), _of(header, 3)
            if unpacked < 0 or packed < 0 or at + header_bytes + packed > end:
                raise Unusable("a page lies outside its column chunk")
            kind = _of(header, 1)
            number, values, encoding = _PAGES[kind]
            inner = _of(header, number)
            yield _Page(
                at,
                header_bytes + unpacked,
                kind == DICTIONARY_PAGE,
                _of(inner, values),
                _of(inner, encoding),
            )
            at += header_bytes + packed

    def _page(self, at: int) -> tuple[Struct, int]:
        self._pages_left -= 1
        if self._pages_left < 0:
            raise Unusable("it has very small pages")
        try:
            return _decoded(os.pread(self._descriptor, PAGE_HEADER_BYTES, at))
        except EOFError:
            return _decoded(os.pread(self._descriptor, PAGE_HEADER_BYTES_MAX, at))


class Bounds(NamedTuple):
    """The nulls of a column chunk, and its least and greatest value as the footer encodes them.

    Without `least` and `greatest` nothing is stated: readers don't skip the chunk then.
    """

    nulls: int
    least: bytes | None = None
    greatest: bytes | None = None


def constant_chunk(begin: int, value: str, rows: int) -> tuple[Chunk, bytes]:
    """Return a column chunk at offset `begin` with `rows` times the same text, and its bytes."""
    text = value.encode()
    dictionary = len(text).to_bytes(4, "little") + text
    first = _page(DICTIONARY_PAGE, dictionary, 7, _integers({1: 1, 2: PLAIN}))
    # A run of rows × 1 as definition levels, and a run of rows × 0 as positions in the dictionary.
    run = _varint(rows << 1)
    levels = run + b"\x01"
    data = len(levels).to_bytes(4, "little") + levels + b"\x01" + run + b"\x00"
    second = _page(DATA_PAGE, data, 5, _integers({1: rows, 2: RLE_DICTIONARY, 3: RLE, 4: RLE}))
    pages = first + second
    chunk = Chunk(
        begin,
        begin,
        begin + len(first),
        len(pages),
        len(pages),
        UNCOMPRESSED,
        (PLAIN, RLE, RLE_DICTIONARY),
    )
    return chunk, pages


def _page(kind: int, content: bytes, number: int, header: Struct) -> bytes:
    page = _integers({1: kind, 2: len(content), 3: len(content)})
    page[number] = (TType.STRUCT, header)
    return _encoded(page) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def text_column(name: str) -> ColumnSchema:
    """Return a nullable column of text."""
    element = _integers({1: BYTE_ARRAY, 3: NULLABLE, 6: UTF8_CONVERTED})
    element[4] = (TType.STRING, name.encode())
    return ColumnSchema(name, BYTE_ARRAY, 0, element)


def footer(
    contents: Contents,
    field_ids: Mapping[str, int],
    bounds: Sequence[Sequence[Bounds | None]],
) -> bytes:
    """Return a file's end: the footer, its length and the magic.

    `field_ids` are those of the columns, `bounds` the statistics of each chunk, by row group.
    """
    rows = sum(group.rows for group in contents.groups)
    columns = [_schema_element(column, field_ids[column.name]) for column in contents.columns]
    root: Struct = _integers({3: 0, 5: len(columns)})
    root[4] = (TType.STRING, b"schema")
    groups = [
        _row_group_struct(number, group, contents.columns, of_group)
        for number, (group, of_group) in enumerate(zip(contents.groups, bounds, strict=True))
    ]
    order: Struct = {1: (TType.STRUCT, {})}
    file: Struct = {
        1: (TType.I32, 1),
        2: (TType.LIST, [root, *columns]),
        3: (TType.I64, rows),
        4: (TType.LIST, groups),
        7: (TType.LIST, [order] * len(columns)),
    }
    if contents.writer is not None:  # readers work around the faults of some writers
        file[6] = (TType.STRING, contents.writer)
    encoded = _encoded(file)
    return encoded + len(encoded).to_bytes(4, "little") + MAGIC


def _schema_element(column: ColumnSchema, field_id: int) -> Struct:
    element = {number: column.element[number] for number in column.element if number != 9}
    return element | {9: (TType.I32, field_id)}


def _row_group_struct(
    number: int,
    group: RowGroup,
    columns: Sequence[ColumnSchema],
    bounds: Sequence[Bounds | None],
) -> Struct:
    chunks = [
        _chunk_struct(column, chunk, group.rows, known)
        for column, chunk, known in zip(columns, group.chunks, bounds, strict=True)
    ]
    return {
        1: (TType.LIST, chunks),
        2: (TType.I64, sum(chunk.unpacked_bytes for chunk in group.chunks)),
        3: (TType.I64, group.rows),
        6: (TType.I64, sum(chunk.size_bytes for chunk in group.chunks)),
        7: (TType.I16, number % 2**15),
    }


def _chunk_struct(column: ColumnSchema, chunk: Chunk, rows: int, known: Bounds | None) -> Struct:
    meta: Struct = {
        1: (TType.I32, column.physical),
        2: (TType.LIST, list(chunk.encodings)),
        3: (TType.LIST, [column.name.encode()]),
        4: (TType.I32, chunk.codec),
        5: (TType.I64, rows),
        6: (TType.I64, chunk.unpacked_bytes),
        7: (TType.I64, chunk.size_bytes),
        9: (TType.I64, chunk.data),
    }
    if chunk.dictionary is not None:
        meta[11] = (TType.I64, chunk.dictionary)
    if known is not None:
        meta[12] = (TType.STRUCT, _statistics_struct(known))
    return {2: (TType.I64, 0), 3: (TType.STRUCT, meta)}


def _statistics_struct(known: Bounds) -> Struct:
    statistics: Struct = {3: (TType.I64, known.nulls)}
    if known.least is not None and known.greatest is not None:
        statistics |= {
            5: (TType.STRING, known.greatest),
            6: (TType.STRING, known.least),
            7: (TType.BOOL, True),
            8: (TType.BOOL, True),
        }
    return statistics


def _integers(values: Mapping[int, int]) -> Struct:
    return {number: (TType.I32, value) for number, value in values.items()}
