"""The values of records: columns of Arrow from rows of bytes, by the items of a copybook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.extension import hidden, marked
from headrace_legacy.byte_tables import (
    NIBBLES_MINUS,
    NIBBLES_PLUS,
    NOT_A_DIGIT,
    NOT_ASCII,
    Bytes,
    CodePage,
    Whole,
)
from headrace_legacy.copybook_conditions import Conditions
from headrace_legacy.copybook_layout import WHOLE_DIGITS_MAX, Layout, type_of
from headrace_legacy.copybook_records import Batch
from headrace_legacy.copybooks import (
    BAD_RECORDS,
    DIGITS_MAX,
    FILLER,
    CopybookError,
    Item,
    Kind,
    Picture,
    Usage,
    name_columns,
)

Mask = npt.NDArray[np.bool_]
_OF_BAD = (
    pa.field("record_number", pa.int64()),
    pa.field("record_byte", pa.int64()),
    pa.field("record_problem", pa.string()),
)
"""Columns of rows where bad records are kept."""


class BadValue(Exception):
    """A value that isn't what the copybook says. `row` is that of its record in the batch."""

    def __init__(self, row: int, reason: str, reasons: Mapping[int, str] | None = None) -> None:
        super().__init__(reason)
        self.row, self.reason = row, reason
        self.reasons = reasons or {}
        """All rows that are bad for the same reason; empty if the file is, not its records."""


class Scope(NamedTuple):
    """Rows of bytes: records, or elements of a table with the rows that they are in."""

    item: Item
    """The root of the records, or the table."""
    data: Bytes
    records: Whole
    """The record of each row, by its place in the batch."""
    lengths: Whole | None
    outer: Scope | None = None
    outer_rows: Whole | None = None
    bad_records: dict[int, str] | None = None
    """The bad records up to now, with their first reasons; None if the first one is an error."""

    def at(self, rows: Whole) -> Scope:
        """Return some of the rows."""
        return self._replace(
            data=self.data[rows],
            records=self.records[rows],
            lengths=None if self.lengths is None else self.lengths[rows],
            outer_rows=rows if self.outer_rows is None else self.outer_rows[rows],
        )

    def bad(self, wrong: Mask, reason: str | Callable[[int], str]) -> BadValue:
        """Return the error of the wrong rows, whose reason may depend on the place of the row."""
        places = np.flatnonzero(wrong)[::-1]
        reasons = {
            int(self.records[place]): reason if isinstance(reason, str) else reason(int(place))
            for place in places
        }
        first = int(self.records[places[-1]])
        return BadValue(first, reasons[first], reasons)

    def bytes_of(self, item: Item, offset: int) -> Bytes:
        """Return the bytes of an item. Raises BadValue if a record ends before."""
        end = offset + item.size
        if self.lengths is not None and (short := self.lengths < end).any():
            raise self.bad(short, f"it ends before {item.name}")
        return self.data[:, offset:end]


class Values:
    """The records of a batch."""

    def __init__(
        self, layout: Layout, batch: Batch, bad_records: dict[int, str] | None = None
    ) -> None:
        self._layout = layout
        rows = np.arange(len(batch))
        self.root = Scope(layout.root, batch.data, rows, batch.lengths, bad_records=bad_records)
        if len(layout.root.clusters[0]) == 1:
            self.root = _slid(layout, layout.root.clusters[0][0], self.root)

    def rows_of(self, item: Item) -> Whole:
        """Return the rows of the records that have an item."""
        return self._scope_of(item).records

    def total(self, item: Item) -> Any:
        """Return the sum of an item's values."""
        scope = self._scope_of(item)
        value = pc.sum(read_value(self._layout, item, scope, item.offset)).as_py()
        return Decimal(0) if value is None else Decimal(str(value))

    def _scope_of(self, item: Item) -> Scope:
        scope = self.root
        for cluster, child in self._layout.path(item):
            if len(cluster) > 1:
                scope = self.having(cluster, child, scope)
        return scope

    def having(self, cluster: list[Item], child: Item, scope: Scope) -> Scope:
        """Return the rows that have `child`, which is one of the cluster."""
        for other, rows in chosen(self._layout, cluster, scope):
            if other is child:
                some = scope if rows is None else scope.at(rows)
                is_record = cluster is self._layout.root.clusters[0]
                return _slid(self._layout, child, some) if is_record else some
        return scope.at(np.arange(0))


def chosen(
    layout: Layout, cluster: list[Item], scope: Scope
) -> Iterator[tuple[Item, Whole | None]]:
    """Yield the items of a cluster that rows have, with these rows; None for all of them."""
    choice = layout.choices[id(cluster[0])]
    if choice.by is None:
        yield choice.names[""], None
        return
    by = choice.by
    values = _resolved(layout, by, scope).dictionary_encode()
    keys = [*values.dictionary.to_pylist(), None]
    items = [choice.item_of(key) for key in keys]
    indices = values.indices.fill_null(len(keys) - 1).to_numpy()
    unknown = np.isin(indices, [place for place, item in enumerate(items) if item is None])
    if unknown.any():
        raise scope.bad(
            unknown,
            lambda place: (
                f"{by.name} is {_named(keys[indices[place]])}, which `choose` doesn't name"
            ),
        )
    for item in dict.fromkeys(filter(None, items)):
        places = [place for place, other in enumerate(items) if other is item]
        yield item, np.flatnonzero(np.isin(indices, places))


def _resolved(layout: Layout, item: Item, scope: Scope) -> pa.Array:
    """Return the values of an item of the scope, or of one around it."""
    if layout.scope_item(item) is scope.item:
        return read_value(layout, item, scope, item.offset)
    assert scope.outer is not None
    return _resolved(layout, item, scope.outer).take(pa.array(scope.outer_rows))


def _counts(layout: Layout, table: Item, scope: Scope) -> Whole:
    """Return the number of elements in each row."""
    depending = layout.depending(table)
    counts: Whole = _resolved(layout, depending, scope).cast(pa.int64()).fill_null(-1).to_numpy()
    if (wrong := (counts < 0) | (counts > table.occurs)).any():
        raise scope.bad(
            wrong,
            lambda place: (
                f"{depending.name} is {marked(str(counts[place]))}, and {table.name} has"
                f" at most {table.occurs:,} elements"
            ),
        )
    return counts


def _slid(layout: Layout, record: Item, scope: Scope) -> Scope:
    """Move what follows tables with fewer elements to where it is behind complete ones."""
    data, lengths = scope.data, scope.lengths
    for table in layout.sliding.get(id(record), ()):
        counts = _counts(layout, table, scope)
        end = table.offset + table.whole
        gaps = (table.occurs - counts) * table.size
        if end < record.size:
            moved = data.copy()
            for gap in np.unique(gaps[gaps > 0]):
                rows = np.flatnonzero(gaps == gap)
                moved[rows, end:] = data[rows, end - gap : data.shape[1] - gap]
            data = moved
        lengths = None if lengths is None else lengths + gaps
        scope = scope._replace(data=data, lengths=lengths)
    if lengths is not None and (longer := lengths > record.size).any():
        raise scope.bad(longer, f"it is longer than {record.name}")
    return scope


# Columns.


class Table:
    """The columns that a source reads."""

    def __init__(self, layout: Layout) -> None:
        self.layout = self._layout = layout
        self._columns: dict[int, list[Item]] = {}
        """By the place of the root or of a table in memory: its columns."""
        self.has_binary = False
        fields = self._fields(layout.root)
        self.keeps_bad = layout.options.get("bad_records", BAD_RECORDS[0]) == "keep"
        names = {field.name for field in fields} & {field.name for field in _OF_BAD}
        if self.keeps_bad and names:
            raise CopybookError(1, f"an item is called {min(names)}, as a column of bad records is")
        self.schema = pa.schema([*fields, *(_OF_BAD if self.keeps_bad else ())])

    def _fields(self, group: Item) -> list[pa.Field]:
        columns = list(self._inside(group, ()))
        name_columns(columns)
        items = self._columns[id(group)] = [item for item, _ in columns]
        if not items:
            raise CopybookError(group.line, f"{group.name or 'the record'} has no named item")
        return [pa.field(item.column, self._type(item)) for item in items]

    def _inside(self, group: Item, around: tuple[str, ...]) -> Iterator[tuple[Item, Sequence[str]]]:
        for cluster in group.clusters:
            for item in self._layout.included(cluster):
                if item.is_group and not item.occurs:
                    is_named = group is not self._layout.root and item.name != FILLER
                    yield from self._inside(item, (*around, item.name) if is_named else around)
                elif not item.name.startswith(FILLER) or item.is_group:
                    yield item, around

    def _type(self, item: Item) -> pa.DataType:
        if item.is_group:
            return pa.list_(pa.struct(self._fields(item)))
        self.has_binary |= item.usage not in (Usage.DISPLAY, Usage.NATIONAL)
        kind = type_of(item)
        return pa.list_(kind) if item.occurs else kind

    def read(self, batch: Batch) -> tuple[list[pa.Array], Whole]:
        """Return the columns of a batch, and which of its records its rows are.

        Raises BadValue, where bad records are kept for those of all columns.
        """
        bad_records: dict[int, str] | None = {} if self.keeps_bad else None
        values = Values(self._layout, batch, bad_records)
        scope = values.root
        rows = self._layout.rows
        if rows is not None:
            scope = values._scope_of(rows)
        elif len(self._layout.root.clusters[0]) > 1:
            cluster = self._layout.root.clusters[0]
            scope = values.having(cluster, self._layout.included(cluster)[0], scope)
        arrays = self._arrays(self._layout.root, scope)
        if bad_records:
            first = min(bad_records)
            raise BadValue(first, bad_records[first], bad_records)
        return arrays, scope.records

    def with_bad(
        self, arrays: list[pa.Array], records: Whole, bad: Mapping[int, str], batch: Batch
    ) -> pa.RecordBatch:
        """Return rows with the places of their records, and those of bad records with the reasons.

        In these, other columns are null. The reasons have no values: whoever may read that column
        needn't be allowed to read the one that a value is of.
        """
        rows = np.concatenate((records, np.array([*bad], np.int64)))
        columns = [pa.concat_arrays([array, pa.nulls(len(bad), array.type)]) for array in arrays]
        problems = pa.array([None] * len(records) + [*map(hidden, bad.values())], pa.string())
        places = [pa.array(rows + batch.first), pa.array(batch.offsets[rows]), problems]
        order = pa.array(np.argsort(rows, kind="stable"))
        return pa.record_batch([each.take(order) for each in (*columns, *places)], self.schema)

    def _arrays(self, group: Item, scope: Scope) -> list[pa.Array]:
        arrays: dict[int, pa.Array] = {}
        self._read_group(group, scope, arrays)
        return [
            arrays[id(item)] if id(item) in arrays else pa.nulls(len(scope.data), self._type(item))
            for item in self._columns[id(group)]
        ]

    def _read_group(self, group: Item, scope: Scope, arrays: dict[int, pa.Array]) -> None:
        for cluster in group.clusters:
            included = self._layout.included(cluster)
            if len(included) == 1:
                self._read(included[0], scope, arrays)
                continue
            for item, rows in chosen(self._layout, cluster, scope):
                if rows is None or len(rows) == len(scope.data):
                    self._read(item, scope, arrays)
                    continue
                some: dict[int, pa.Array] = {}
                self._read(item, scope.at(rows), some)
                places = np.full(len(scope.data), -1, np.int64)
                places[rows] = np.arange(len(rows))
                indices = pa.array(places, mask=places < 0)
                arrays.update({key: array.take(indices) for key, array in some.items()})

    def _read(self, item: Item, scope: Scope, arrays: dict[int, pa.Array]) -> None:
        if item.is_group and not item.occurs:
            self._read_group(item, scope, arrays)
        elif item.occurs or not item.name.startswith(FILLER):
            try:
                arrays[id(item)] = (
                    self._table(item, scope) if item.occurs else self._values(item, scope)
                )
            except BadValue as error:
                if scope.bad_records is None or not error.reasons:
                    raise
                scope.bad_records.update({**error.reasons, **scope.bad_records})
                arrays[id(item)] = pa.nulls(len(scope.data), self._type(item))

    def _values(self, item: Item, scope: Scope) -> pa.Array:
        values = read_value(self._layout, item, scope, item.offset)
        conditions = self._layout.conditions.get(id(item))
        if conditions is not None:
            written = (
                read_value(self._layout, item, scope, item.offset, is_trimmed=False)
                if conditions.is_text
                else values
            )
            _require_condition(conditions, item, scope, written)
        return values

    def _table(self, table: Item, scope: Scope) -> pa.Array:
        layout, count = self._layout, len(scope.data)
        counts = (
            _counts(layout, table, scope)
            if table.depending
            else np.full(count, table.occurs, np.int64)
        )
        ends = np.cumsum(counts)
        total = int(ends[-1]) if count else 0
        rows = np.repeat(np.arange(count), counts)
        places = np.arange(total) - np.repeat(ends - counts, counts)
        data = np.ascontiguousarray(scope.data[:, table.offset : table.offset + table.whole])
        elements = Scope(
            table,
            data.reshape(count, table.occurs, table.size)[rows, places],
            scope.records[rows],
            None
            if scope.lengths is None
            else scope.lengths[rows] - table.offset - places * table.size,
            scope,
            rows,
            scope.bad_records,
        )
        values = (
            pa.StructArray.from_arrays(
                self._arrays(table, elements), fields=list(self._type(table).value_type)
            )
            if table.is_group
            else read_value(layout, table, elements, 0)
        )
        offsets = pa.array(np.concatenate(([0], ends)).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, values)


def _require_condition(conditions: Conditions, item: Item, scope: Scope, values: pa.Array) -> None:
    """Raise BadValue for a value that no condition of its item has."""
    coded = values.dictionary_encode(null_encoding="encode")
    known = coded.dictionary.to_pylist()
    bad = [
        place
        for place, value in enumerate(known)
        if value is not None and not conditions.has(value)
    ]
    indices = coded.indices.to_numpy()
    wrong = np.isin(indices, bad)
    if wrong.any():
        raise scope.bad(
            wrong,
            lambda place: (
                f"{item.name} is {_named(str(known[indices[place]]).strip() or None)}, which is"
                " in none of its conditions"
            ),
        )


def _named(value: Any) -> str:
    """Return a value for messages."""
    return "empty" if value is None else marked(str(value))


@cache
def _table(options: bytes) -> Table:
    return Table(Layout(msgspec.json.decode(options)))


def table_of(options: Mapping[str, Any]) -> Table:
    """Return the columns that a source declares. Raises CopybookError."""
    return _table(msgspec.json.encode(options, order="sorted"))


def read_value(
    layout: Layout, item: Item, scope: Scope, offset: int, *, is_trimmed: bool = True
) -> pa.Array:
    """Return the values of an item without others inside. Raises BadValue.

    Texts have no blanks around them, and are null if they are empty; or are as written.
    """
    block = scope.bytes_of(item, offset)
    reader = _Reader(layout.page, item, scope, block, is_blank_null=layout.is_blank_null)
    if item.usage in (Usage.FLOAT, Usage.DOUBLE):
        return reader.float(is_little=layout.machine == "pc")
    assert item.picture is not None
    if item.picture.national or item.picture.kind is Kind.TEXT:
        texts = reader.national() if item.picture.national else reader.texts()
        trimmed = pc.utf8_trim(texts, " ")
        return pc.if_else(pc.equal(trimmed, ""), None, trimmed) if is_trimmed else texts
    if item.picture.kind is Kind.EDITED:
        return reader.edited(item.picture)
    if item.usage in (Usage.BINARY, Usage.NATIVE):
        little = item.usage is Usage.NATIVE and layout.machine == "pc"
        return reader.binary(item.picture, is_little=little)
    if item.usage is Usage.PACKED:
        return reader.packed(item.picture)
    return reader.zoned(item.picture)


class _Reader:
    """Turns the bytes of one item into values."""

    def __init__(
        self, page: CodePage, item: Item, scope: Scope, block: Bytes, *, is_blank_null: bool
    ) -> None:
        self._page, self._item, self._scope = page, item, scope
        self._is_blank_null, self._block = is_blank_null, block

    def texts(self) -> pa.Array:
        """Return texts of the code page."""
        block = self._block
        count, width = block.shape
        ascii_bytes = self._page.ascii[block]
        if not (ascii_bytes == NOT_ASCII).any():
            return _as_texts(ascii_bytes)
        points = np.ascontiguousarray(self._page.points[block])
        return pa.array(points.view(f"<U{width}").reshape(count), pa.string())

    def national(self) -> pa.Array:
        """Return texts in UTF-16."""
        units = np.ascontiguousarray(self._block).view(">u2").astype(np.uint32)
        self._refuse((units >> 11 == 0x1B).any(axis=1), "has characters that aren't read")
        units[(units < 0x20) | (units == 0x3000)] = 0x20
        return pa.array(units.view(f"<U{units.shape[1]}").reshape(len(units)), pa.string())

    def zoned(self, picture: Picture) -> pa.Array:
        """Return numbers of one digit per byte."""
        block, blank = self._without_blanks(self._page.encoded("0"))
        sign = self._item.sign
        assert sign is not None
        signed = picture.signed
        at = 0 if sign.leading else block.shape[1] - 1
        if signed and sign.separate:
            signs = block[:, at]
            minus = signs == self._page.encoded("-")
            wrong = ~(minus | (signs == self._page.encoded("+")) | blank)
            digits = self._page.digits[np.delete(block, at, axis=1)]
        else:
            digits = self._page.digits[block]
            digits[:, at] = self._page.signed_digits[block[:, at]]
            minus = self._page.negative[block[:, at]]
            wrong = minus if not signed else np.zeros(len(block), np.bool_)
        wrong = wrong | (digits == NOT_A_DIGIT).any(axis=1)
        self._refuse(wrong, "isn't a number")
        return self._number(digits, minus, blank, picture)

    def packed(self, picture: Picture) -> pa.Array:
        """Return numbers of two digits per byte, the sign in the last half."""
        block, blank = self._without_blanks(0x0C)
        if blank.any():
            block[blank, :-1] = 0
        halves = np.empty((len(block), 2 * block.shape[1]), np.uint8)
        halves[:, ::2], halves[:, 1::2] = block >> 4, block & 0x0F
        signs, digits = halves[:, -1], halves[:, :-1]
        minus = NIBBLES_MINUS[signs]
        wrong = (digits > 9).any(axis=1) | ~(NIBBLES_PLUS[signs] | minus)
        if not picture.signed:
            wrong |= minus
        self._refuse(wrong, "isn't a packed number")
        if digits.shape[1] > picture.digits:
            self._refuse(digits[:, 0] > 0, f"has more than {picture.digits} digits")
            digits = digits[:, 1:]
        return self._number(digits, minus, blank, picture)

    def binary(self, picture: Picture, *, is_little: bool) -> pa.Array:
        """Return binary numbers."""
        order, sign = "<" if is_little else ">", "i" if picture.signed else "u"
        block = np.ascontiguousarray(self._block)
        values = block.view(f"{order}{sign}{self._item.size}").reshape(len(block))
        if self._item.usage is Usage.BINARY:
            limit = 10**picture.digits
            wrong = values >= limit
            if picture.signed:
                wrong |= values <= -limit
            self._refuse(wrong, f"has more than {picture.digits} digits")
        nothing = np.zeros(len(values), np.bool_)
        if values.dtype.kind == "u" and values.dtype.itemsize == 8:
            low = values.astype(np.uint64)
            return self._from_halves(low.view(np.int64), np.zeros_like(low, np.int64), nothing)
        return self._array(values.astype(np.int64), nothing, picture)

    def float(self, *, is_little: bool) -> pa.Array:
        """Return floating-point numbers: IEEE 754's, or a mainframe's with a base of 16."""
        size = self._item.size
        block = np.ascontiguousarray(self._block)
        if is_little:
            values = block.view(f"<f{size}").reshape(len(block)).astype(np.float64)
            self._refuse(~np.isfinite(values), "isn't a finite number")
            return pa.array(values)
        bits = block.view(f">u{size}").reshape(len(block)).astype(np.uint64)
        places = np.uint64(8 * size - 8)
        mantissa = (bits & ((np.uint64(1) << places) - np.uint64(1))).astype(np.float64)
        exponent = ((bits >> places) & np.uint64(0x7F)).astype(np.int32)
        values = np.ldexp(mantissa, 4 * (exponent - 64) - np.int32(places))
        return pa.array(np.where(bits >> np.uint64(8 * size - 1), -values, values))

    def edited(self, picture: Picture) -> pa.Array:
        """Return numbers that are written for people: `1,234.56-`."""
        texts = pc.replace_substring_regex(self.texts(), r"^[ *$]*[.][ *]*$|[ ,$*]", "")
        texts = pc.replace_substring_regex(texts, r"^(.*)(-|CR|DB)$", r"-\1")
        texts = pc.replace_substring_regex(texts, r"^(.*)\+$", r"\1")
        empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)
        if not (self._item.blank_is_zero or self._is_blank_null):
            self._refuse(empty, "is blank")
        blank_as = "0" if self._item.blank_is_zero else None
        texts = pc.if_else(pc.equal(texts, ""), blank_as, texts)
        right = pc.match_substring_regex(texts, _written(picture)).fill_null(True)
        self._refuse(~right.to_numpy(zero_copy_only=False), "isn't a number")
        bare = pc.utf8_rtrim(texts, ".")
        return bare.cast(pa.decimal128(DIGITS_MAX, picture.scale)).cast(type_of(self._item))

    def _without_blanks(self, zero: int) -> tuple[Bytes, Mask]:
        """Return the bytes with `zero` in place of those of blank values, and which are blank."""
        block = self._block
        blank = np.zeros(len(block), np.bool_)
        if self._is_blank_null or self._item.blank_is_zero:
            for byte in (self._page.encoded(" "), 0, 0xFF):
                blank |= (block == byte).all(axis=1)
        if blank.any():
            block = block.copy()
            block[blank] = zero
        return block, blank

    def _number(self, digits: Bytes, minus: Mask, blank: Mask, picture: Picture) -> pa.Array:
        if self._item.blank_is_zero:
            blank = np.zeros(len(digits), np.bool_)
        if picture.digits <= WHOLE_DIGITS_MAX:
            values = np.zeros(len(digits), np.int64)
            for position in range(digits.shape[1]):
                values *= 10
                values += digits[:, position]
            return self._array(np.where(minus, -values, values), blank, picture)
        signs = np.where(minus, ord("-"), ord("0")).astype(np.uint8)
        texts = np.concatenate((signs[:, None], digits + np.uint8(ord("0"))), axis=1)
        numbers = _as_texts(texts).cast(pa.decimal128(picture.digits, 0))
        return self._scaled(numbers.buffers()[1], blank)

    def _array(self, values: Whole, blank: Mask, picture: Picture) -> pa.Array:
        kind = type_of(self._item)
        if kind == pa.int64():
            return pa.array(values, mask=blank) if blank.any() else pa.array(values)
        if picture.scale < 0:
            texts = pa.array(values).cast(pa.decimal128(19, 0))
            scaled = pc.multiply(texts, pa.scalar(Decimal(10**-picture.scale)))
            return pc.if_else(pa.array(~blank), scaled, None).cast(kind)
        return self._from_halves(values, values >> 63, blank)

    def _from_halves(self, low: Whole, high: Whole, blank: Mask) -> pa.Array:
        return self._scaled(pa.py_buffer(np.stack((low, high), axis=1)), blank)

    def _scaled(self, buffer: pa.Buffer, blank: Mask) -> pa.Array:
        valid = pa.py_buffer(np.packbits(~blank, bitorder="little")) if blank.any() else None
        return pa.Array.from_buffers(type_of(self._item), len(blank), [valid, buffer])

    def _refuse(self, wrong: Mask, what: str) -> None:
        """Raise BadValue if there are wrong values."""
        if wrong.any():
            raise self._scope.bad(
                wrong, lambda place: f"{self._item.name} {what}: {self._hex(place)}"
            )

    def _hex(self, place: int) -> str:
        return marked(f"0x{self._block[place].tobytes()[:20].hex().upper()}")


def _written(picture: Picture) -> str:
    """Return the regular expression of numbers with at most a picture's digits."""
    whole, scale = picture.digits - picture.scale, picture.scale
    if not scale:
        return f"^[+-]?[0-9]{{1,{whole}}}[.]?$"
    some = f"[0-9]{{1,{whole}}}([.][0-9]{{0,{scale}}})?|" if whole else ""
    return f"^[+-]?({some}[.][0-9]{{1,{scale}}})$"


def _as_texts(ascii_bytes: Bytes) -> pa.Array:
    """Return rows of ASCII as texts."""
    count, width = ascii_bytes.shape
    buffer = pa.py_buffer(np.ascontiguousarray(ascii_bytes))
    fixed = pa.Array.from_buffers(pa.binary(width), count, [None, buffer])
    return fixed.cast(pa.binary()).cast(pa.string())
