"""Stage few rows that are in memory as a Parquet file without DuckDB.

A COPY of one row costs a millisecond and registering Arrow data with DuckDB another half, most of
it independent of the number of rows. Arrow writes the same columns in a tenth of that. Only columns
of plain types that are the table's already are written here; `lake.staging` takes everything else.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.lake.catalog.columns import lower_bound, upper_bound
from headrace.lake.files import TAIL_BYTES, file_written, footer_hash
from headrace.lake.schema import Given, TargetTable
from headrace.lake.staging import empty_hash
from headrace.lake.tables import (
    PARTITION_COLUMN,
    ColumnStatistics,
    LakeColumn,
    LakeTable,
    StagedFile,
    StagedPartition,
    new_path,
    sealed_name,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.lake.session import DuckDBSession

SMALL_BYTES_MAX = 256 * 2**10
"""256 KiB in Arrow's memory: more rows are staged by DuckDB, which writes them faster."""
_TYPES = {
    "int64": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
}
"""Arrow type → DuckDB type, where both writers store the same values and give the same bounds."""


def stage_batch(
    session: DuckDBSession,
    rows: pa.RecordBatch,
    *,
    partitions: Sequence[tuple[str, int]],
    target: TargetTable,
) -> tuple[StagedFile, LakeTable] | None:
    """Write rows like `staging.stage`, which has the meaning of the other arguments.

    `partitions` are keys with their numbers of rows, sorted, in the order of the rows.

    Returns None, and writes nothing, for rows that only `stage` can write: none, many, of other
    types than these, or to be cast to the table's types. The file is unhashed.

    Raises SchemaMismatch and UnsupportedType like `stage`, and OSError if the file can't be
    written; it is deleted then.
    """
    columns = _query_columns(rows)
    if columns is None or not rows.num_rows or rows.nbytes > SMALL_BYTES_MAX:
        return None
    table = target.fitting(columns)
    places = {name.lower(): (place, kind) for place, (name, kind) in enumerate(columns)}
    sources = [places[column.name.lower()] for column in table.columns[1:]]
    if any(
        kind != column.type for (_, kind), column in zip(sources, table.columns[1:], strict=True)
    ):
        return None
    arrays = [_plain(rows.column(place)) for place, _ in sources]
    bounds = [known for array in arrays if (known := _bounds(array)) is not None]
    if len(bounds) < len(arrays):
        return None
    content, sizes = _parquet(partitions, arrays, table.columns)
    path = sealed_name(new_path(table), hashlib.sha256(content).hexdigest())
    _write(session.data_folder / path, content)
    footer_bytes = int.from_bytes(content[-TAIL_BYTES:-4], "little")
    statistics = {PARTITION_COLUMN: _partition_statistics(partitions, sizes[0])}
    described = zip(table.columns[1:], sizes[1:], arrays, bounds, strict=True)
    for column, size, array, column_bounds in described:
        statistics[column.name] = _statistics(column, size, array, column_bounds)
    staged = StagedFile(
        path=path,
        rows=rows.num_rows,
        size_bytes=len(content),
        footer_bytes=footer_bytes,
        statistics=statistics,
        partitions=_staged_partitions(partitions, table.columns),
        columns=table.columns,
        footer_hash=footer_hash(content[-(footer_bytes + TAIL_BYTES) :]),
    )
    return staged, table


def _partition_statistics(
    partitions: Sequence[tuple[str, int]], size_bytes: int
) -> ColumnStatistics:
    filled = [key for key, count in partitions if count]
    rows = sum(count for _, count in partitions)
    return ColumnStatistics(size_bytes, rows, 0, lower_bound(filled[0]), upper_bound(filled[-1]))


def _staged_partitions(
    partitions: Sequence[tuple[str, int]], columns: tuple[LakeColumn, ...]
) -> tuple[StagedPartition, ...]:
    """Return the partitions, unhashed except for those without rows."""
    return tuple(
        StagedPartition(key, count, None if count else empty_hash(columns))
        for key, count in partitions
    )


def _query_columns(rows: pa.RecordBatch) -> Given | None:
    """Return the columns with DuckDB's types; None if one has a type that isn't plain."""
    columns = tuple((field.name, _TYPES.get(str(field.type), "")) for field in rows.schema)
    return columns if all(kind for _, kind in columns) else None


def _statistics(
    column: LakeColumn, size: int, array: pa.Array, bounds: tuple[str | None, str | None]
) -> ColumnStatistics:
    nan = False if column.type == "DOUBLE" else None
    values = len(array) - array.null_count
    return ColumnStatistics(size, values, array.null_count, *bounds, nan)


def _plain(array: pa.Array) -> pa.Array:
    """Return text as short strings: Polars gives long ones."""
    import pyarrow as pa

    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _bounds(array: pa.Array) -> tuple[str | None, str | None] | None:
    """Return the least and the greatest value as DuckDB writes them.

    None for values that DuckDB has to judge: no number, infinite, not text, years out of range.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        array.validate(full=True)
        extremes = pc.min_max(array)
        least, greatest = extremes["min"].as_py(), extremes["max"].as_py()
    except (pa.ArrowInvalid, OverflowError, ValueError):
        return None
    if least is None:
        return None, None
    if isinstance(least, str):
        return lower_bound(least), upper_bound(greatest)
    if isinstance(least, float) and not _is_plain(array, least, greatest):
        return None
    return _text(least), _text(greatest)


def _is_plain(array: pa.Array, least: float, greatest: float) -> bool:
    import pyarrow.compute as pc

    return math.isfinite(least) and math.isfinite(greatest) and not pc.any(pc.is_nan(array)).as_py()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime):
        whole = value.replace(microsecond=0).isoformat(sep=" ")
        fraction = f".{value.microsecond:06}".rstrip("0") if value.microsecond else ""
        return f"{whole}{fraction}"
    return value.isoformat() if isinstance(value, date) else repr(value)


def _parquet(
    partitions: Sequence[tuple[str, int]],
    arrays: Sequence[pa.Array],
    columns: tuple[LakeColumn, ...],
) -> tuple[bytes, list[int]]:
    """Return the file's content, and the bytes of each column in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(columns, tuple(array.type for array in arrays))
    keys = pa.concat_arrays([pa.repeat(key, count) for key, count in partitions])
    sink, metadata = pa.BufferOutputStream(), list[pq.FileMetaData]()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        use_dictionary=[column.name for column in columns if column.type == "VARCHAR"],
        store_schema=False,
        metadata_collector=metadata,
    ) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([keys, *arrays], schema=schema))
    (written,) = metadata
    group = written.row_group(0)
    sizes = [group.column(place).total_compressed_size for place in range(len(columns))]
    return sink.getvalue().to_pybytes(), sizes


@lru_cache(maxsize=1_000)
def _schema(columns: tuple[LakeColumn, ...], types: tuple[pa.DataType, ...]) -> pa.Schema:
    """Return the file's schema, whose fields carry the ids of the table's columns."""
    import pyarrow as pa

    return pa.schema(
        pa.field(column.name, kind, metadata={"PARQUET:field_id": str(column.id)})
        for column, kind in zip(columns, (pa.string(), *types), strict=True)
    )


def _write(path: Path, content: bytes) -> None:
    """Create a file that nobody may change, as `files.protect` leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
            file.write(content)
        file_written()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
