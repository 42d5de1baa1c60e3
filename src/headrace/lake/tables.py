"""What travels between workers and the leader about the lake: tables, their columns, files, what was staged."""

from __future__ import annotations

import msgspec

PARTITION_COLUMN = "_partition"
"""The system column of every lake table, always the first, with column id 1."""


class Column(msgspec.Struct, frozen=True, array_like=True):
    """A column of a lake table: `type` is DuckDB's name for it, `id` the catalog's column id, which files carry as field id."""

    name: str
    type: str
    id: int


class Table(msgspec.Struct, frozen=True):
    """A lake table as the catalog has it, or as a worker proposes it. `columns[0]` is `_partition`."""

    name: str
    columns: tuple[Column, ...]


class FileRef(msgspec.Struct, frozen=True):
    """A published (or staged) file to read: `path` relative to the lake's data folder. `partitions` are the keys
    to keep where the file holds others as well; None means all rows."""

    path: str
    partitions: tuple[str, ...] | None = None


class ColumnStatistics(msgspec.Struct, frozen=True):
    """What the catalog keeps about one column of one file. `minimum` and `maximum` are text as DuckDB returns them."""

    size_bytes: int
    values: int
    """Values that aren't null."""
    nulls: int
    minimum: str | None = None
    maximum: str | None = None
    contains_nan: bool | None = None


class StagedPartition(msgspec.Struct, frozen=True):
    """One partition inside a staged file. `content_hash` doesn't depend on the order of rows; None where it wasn't
    computed (large files: it is computed when a comparison needs it)."""

    key: str
    rows: int
    content_hash: str | None = None


class StagedFile(msgspec.Struct, frozen=True):
    """A Parquet file that a worker wrote into the table's folder and that no snapshot names yet."""

    path: str
    rows: int
    size_bytes: int
    footer_bytes: int
    statistics: dict[str, ColumnStatistics]
    partitions: tuple[StagedPartition, ...]
