"""Stage a delivered Parquet file with its column chunks as they are.

Decoding, encoding and compressing cost four times as much as reading all values once. So the chunks
are copied, chunks with the partition's key are appended, and a new footer is written. The footer
that came with the file is believed in nothing that a reader skips rows by: the chunks are read once
below a footer without statistics, and the new statistics are those of the values that were read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.lake import parquet_footer
from headrace.lake.files import file_written
from headrace.lake.parquet_footer import Bounds, ColumnSchema, Contents, RowGroup, Unusable
from headrace.lake.schema import Given, TargetTable
from headrace.lake.sqltext import AS_WRITTEN, literal, quote
from headrace.lake.staging import described_file
from headrace.lake.tables import PARTITION_COLUMN, LakeTable, StagedFile, new_path

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

BYTES_MIN = 1 << 20
"""1 MiB: smaller files are encoded anew, which takes no longer than reading the footer twice."""
GROUP_ROWS_MAX = 1 << 20
"""Larger row groups take readers too much memory; pyarrow's are of this size."""
GROUP_ROWS_MIN = 20_000
"""Mean of the rows in a row group, if there are several: readers pay for each."""
CODECS = {1, 6, 7}
"""Snappy, Zstandard and LZ4: fast to read and a fraction of the values' size."""
TEXT_BOUND_BYTES_MAX = 256
"""Longer texts are no bounds in a footer."""

_BOOLEAN, _INT32, _INT64, _FLOAT, _DOUBLE, _BYTE_ARRAY, _FIXED = 0, 1, 2, 4, 5, 6, 7
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_TIMES = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE")

_FORMS = {
    ("BOOLEAN", _BOOLEAN): "<?",
    **{(name, _INT32): "<i" for name in (*_SIGNED, "DATE", "DECIMAL")},
    **{(name, _INT64): "<q" for name in (*_SIGNED, *_TIMES, "DECIMAL")},
    **{(name, _INT32): "<I" for name in _UNSIGNED},
    **{(name, _INT64): "<Q" for name in _UNSIGNED},
    ("FLOAT", _FLOAT): "<f",
    ("DOUBLE", _DOUBLE): "<d",
    ("DECIMAL", _FIXED): "",
    ("VARCHAR", _BYTE_ARRAY): "",
}
"""The form of a bound in the footer, by DuckDB's type and Parquet's; empty for a text's or a long
decimal's bytes. Columns of other types are encoded anew.
"""
_NUMBERS = {
    "DATE": "date_diff('day', DATE '1970-01-01', {})",
    "DECIMAL": "CAST(replace(CAST({} AS VARCHAR), '.', '') AS HUGEINT)",
}
"""SQL for the number that the footer states for a bound; NULL for infinite times."""
_TEXTS = {
    "BOOLEAN": "CAST(CAST({} AS INTEGER) AS VARCHAR)",
    "TIMESTAMP WITH TIME ZONE": "CAST({} AT TIME ZONE 'UTC' AS VARCHAR) || '+00'",
}
"""SQL for a bound's text as COPY returns it, where that isn't a cast."""


def stage_delivered(
    session: DuckDBSession,
    path: Path,
    columns: Given,
    *,
    target: TargetTable,
    partition: str,
) -> tuple[StagedFile, LakeTable] | None:
    """Stage the file at `path`, which has these columns, as one partition; None if it can't be.

    Then `staging.stage` writes its values anew. Raises as that does if the columns don't fit.
    """
    if path.stat().st_size < BYTES_MIN:
        return None
    table = target.fitting(columns)
    if [(column.name, column.type) for column in table.columns[1:]] != list(columns):
        return None
    relative = new_path(table)
    place = session.data_folder / relative
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _opened(path) as (source, size):
            contents = parquet_footer.read_contents(source, size)
            values = _columns_of_values(contents, columns)
            written = _write(session, place, source, contents, values, table, partition)
        file_written()
        staged = described_file(session, relative, written, table, partition, hashed=False)
    except Unusable:
        place.unlink(missing_ok=True)
        return None
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return staged, table


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor, os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


class _Values(NamedTuple):
    """A column whose values are read once, and how its bounds are written.

    `stored` is SQL for a bound in a form that `encode` turns into the footer's bytes, `text` for
    its text.
    """

    schema: ColumnSchema
    encode: Callable[[Any], bytes | None]
    stored: str
    text: str
    is_float: bool


def _columns_of_values(contents: Contents, columns: Given) -> list[_Values]:
    """Return how the bounds of each column are written. Raises Unusable for files to write anew."""
    if [column.name for column in contents.columns] != [name for name, _ in columns]:
        raise Unusable("its columns have other names")
    largest = max(group.rows for group in contents.groups)
    several = len(contents.groups) > 1
    rows = sum(group.rows for group in contents.groups)
    if largest > GROUP_ROWS_MAX or (several and rows < GROUP_ROWS_MIN * len(contents.groups)):
        raise Unusable("its row groups are too large or too small")
    if any(chunk.codec not in CODECS for group in contents.groups for chunk in group.chunks):
        raise Unusable("it isn't compressed, or slow to unpack")
    pairs = zip(contents.columns, columns, strict=True)
    return [_values_of(schema, type_name) for schema, (_, type_name) in pairs]


def _values_of(schema: ColumnSchema, type_name: str) -> _Values:
    family = type_name.partition("(")[0]
    form = _FORMS.get((family, schema.physical))
    other_times = family in _TIMES and not schema.time_unit
    if form is None or other_times or (family == "VARCHAR" and not schema.is_text):
        raise Unusable(f"column {schema.name} has type {type_name}")
    time = f"epoch_{schema.time_unit}({{}})" if family in _TIMES else "{}"
    return _Values(
        schema,
        _encoder(schema, form),
        _NUMBERS.get(family, time),
        _TEXTS.get(family, "CAST({} AS VARCHAR)"),
        family in ("FLOAT", "DOUBLE"),
    )


def _encoder(schema: ColumnSchema, form: str) -> Callable[[Any], bytes | None]:
    if form:
        return lambda value: struct.pack(form, value)
    if schema.physical == _FIXED:
        return lambda value: int(value).to_bytes(schema.width, "big", signed=True)
    return _text_bound


def _text_bound(text: str) -> bytes | None:
    encoded = text.encode()
    return encoded if len(encoded) <= TEXT_BOUND_BYTES_MAX else None


def _write(
    session: DuckDBSession,
    place: Path,
    source: int,
    contents: Contents,
    values: Sequence[_Values],
    table: LakeTable,
    key: str,
) -> tuple[int, int, int, dict[str, dict[str, str]]]:
    """Write the file; return rows, bytes, footer bytes, and statistics by quoted path, as COPY."""
    rows = sum(group.rows for group in contents.groups)
    numbers = [str(number) for number in range(len(contents.groups))]
    without_bounds = [[None] * (len(values) + 1)] * len(contents.groups)
    with place.open("xb") as file:
        _copy(source, file.fileno(), contents.end)
        # For the scan, `_partition` is the number of the row group.
        _end(file.fileno(), contents, numbers, table, without_bounds)
        scan = _scanned(session, place, values)
        if [(number, count) for number, count, *_ in scan] != [
            (number, group.rows) for number, group in enumerate(contents.groups)
        ]:
            raise Unusable("other rows were read than its footer states")
        of_key = Bounds(0, _text_bound(key), _text_bound(key))
        bounds = [[of_key, *_bounds(row, values)] for row in scan]
        keys = [key] * len(contents.groups)
        footer_bytes = _end(file.fileno(), contents, keys, table, bounds)
        size = file.seek(0, os.SEEK_END)
    statistics = {quote(PARTITION_COLUMN): _partition_statistics(contents, key, rows)}
    for number, column in enumerate(values):
        stored = sum(group.chunks[number].size_bytes for group in contents.groups)
        counts = [row[2 + 6 * number] for row in scan]
        statistics[quote(column.schema.name)] = {
            "column_size_bytes": str(stored),
            "num_values": str(rows),
            "null_count": str(rows - sum(counts)),
        } | _texts(column, scan[0][2 + 6 * number : 8 + 6 * number])
    return rows, size, footer_bytes, statistics


def _copy(source: int, target: int, count: int) -> None:
    """Copy the first `count` bytes, without copying blocks where the file system can share them."""
    copied = 0
    with suppress(OSError, AttributeError):  # between two file systems, or not on Linux
        while copied < count and (
            more := os.copy_file_range(source, target, count - copied, copied)
        ):
            copied += more
    while copied < count and (chunk := os.pread(source, min(count - copied, 1 << 20), copied)):
        copied += os.pwrite(target, chunk, copied)


def _end(
    descriptor: int,
    contents: Contents,
    keys: Sequence[str],
    table: LakeTable,
    bounds: Sequence[Sequence[Bounds | None]],
) -> int:
    """Write the chunks of `_partition` and the footer behind the copied ones; return its bytes."""
    end, groups, appended = contents.end, [], []
    for group, key in zip(contents.groups, keys, strict=True):
        chunk, pages = parquet_footer.constant_chunk(end, key, group.rows)
        groups.append(RowGroup(group.rows, (chunk, *group.chunks)))
        appended.append(pages)
        end += len(pages)
    partition = parquet_footer.text_column(PARTITION_COLUMN)
    whole = Contents((partition, *contents.columns), tuple(groups), contents.writer, end)
    footer = parquet_footer.footer(
        whole, {column.name: column.id for column in table.columns}, bounds
    )
    os.ftruncate(descriptor, contents.end)
    _write_at(descriptor, b"".join([*appended, footer]), contents.end)
    return len(footer) - 8


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of it: on a nearly full disk one call may write less, without an error."""
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)


def _scanned(session: DuckDBSession, place: Path, values: Sequence[_Values]) -> list[Any]:
    """Read all values once; return a row for each row group, in order.

    Its number and rows; and for each column the count, both bounds as the footer encodes them, both
    bounds of the whole file as text, and whether there are NaNs.
    """
    import duckdb

    names, aggregates, bounds = ["k"], [], []
    for number, column in enumerate(values):
        name, low, high = f"c{number}", f"a{number}", f"b{number}"
        names.append(name)
        nan = f"bool_or(isnan({name}))" if column.is_float else "false"
        aggregates.append(
            f"count({name}) AS n{number}, min({name}) AS {low}, max({name}) AS {high},"
            f" {nan} AS m{number}"
        )
        bounds.append(
            f"n{number}, {column.stored.format(low)}, {column.stored.format(high)},"
            f" {column.text.format(f'(min({low}) OVER ())')},"
            f" {column.text.format(f'(max({high}) OVER ())')}, m{number}"
        )
    columns = ", ".join(names)
    source = f"read_parquet([{literal(str(place))}], {AS_WRITTEN}) AS file({columns})"
    try:
        return session.connection.execute(
            f"WITH each AS MATERIALIZED (SELECT k, count(*) AS rows, {', '.join(aggregates)}"
            f" FROM {source} GROUP BY k) SELECT CAST(k AS INTEGER), rows, {', '.join(bounds)}"
            " FROM each ORDER BY 1"
        ).fetchall()
    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        raise Unusable("its values can't be read") from error


def _bounds(row: Sequence[Any], values: Sequence[_Values]) -> list[Bounds]:
    """Return a row group's statistics. Raises Unusable for values that no footer can state."""
    return [
        _bounds_of(column, row[1], row[2 + 6 * number : 8 + 6 * number])
        for number, column in enumerate(values)
    ]


def _bounds_of(column: _Values, rows: int, row: Sequence[Any]) -> Bounds:
    count, low, high, _, _, has_nan = row
    if not count:
        return Bounds(rows)
    if has_nan or low is None or high is None:
        raise Unusable(f"column {column.schema.name} has NaN or infinite times")
    if column.is_float:  # readers may take either zero for the other
        low, high = low or -0.0, high or 0.0
    try:
        return Bounds(rows - count, column.encode(low), column.encode(high))
    except (struct.error, OverflowError) as error:
        raise Unusable(f"column {column.schema.name} is too narrow for its values") from error


def _texts(column: _Values, row: Sequence[Any]) -> dict[str, str]:
    """Return the bounds of a whole column as COPY returns them."""
    _, _, _, low, high, _ = row
    texts = {"has_nan": "false"} if column.is_float else {}
    for name, text in (("min", low), ("max", high)):
        if text is not None:
            texts[name] = "0.0" if column.is_float and text == "-0.0" else text
    return texts


def _partition_statistics(contents: Contents, key: str, rows: int) -> dict[str, str]:
    stored = sum(
        len(parquet_footer.constant_chunk(0, key, group.rows)[1]) for group in contents.groups
    )
    return {
        "column_size_bytes": str(stored),
        "num_values": str(rows),
        "null_count": "0",
        "min": key,
        "max": key,
    }
