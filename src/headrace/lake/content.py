"""Whether two partitions hold the same rows: a hash that doesn't depend on the order of rows or on how they lie in files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from headrace.lake.relation import relation_sql
from headrace.lake.session import DuckDBSession, quote
from headrace.lake.tables import PARTITION_COLUMN, FileRef, LakeColumn, StagedPartition

HASHED_BYTES_MAX = 256 * 2**10
"""Staged files up to this size are hashed at once. Hashing costs a fifth to a half of writing at any size, so that of larger
files waits until a comparison needs it."""
ALGORITHM = "d155"
"""DuckDB 1.5.5's `hash`; another version may hash otherwise, so hashes compare only under the same name."""


def hash_partitions(session: DuckDBSession, files: Sequence[FileRef], columns: Sequence[LakeColumn]) -> tuple[StagedPartition, ...]:
    """Rows and content hash of each partition in the files, sorted by key."""
    return count_partitions(session, files, columns, hashed=True)


def count_partitions(
    session: DuckDBSession, files: Sequence[FileRef], columns: Sequence[LakeColumn], *, hashed: bool
) -> tuple[StagedPartition, ...]:
    """As `hash_partitions`, the hash left out unless asked for."""
    row_hash = hash_aggregate(columns) if hashed else "NULL"
    source = relation_sql(files, columns if hashed else (), with_partition=True)
    rows = session.connection.execute(
        f"SELECT {quote(PARTITION_COLUMN)}, count(*), {row_hash} FROM ({source}) AS file GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return tuple(
        StagedPartition(key, count, hash_text(count, total, columns) if hashed else None) for key, count, total in rows if key is not None
    )


def hash_aggregate(columns: Sequence[LakeColumn]) -> str:
    """The aggregate that `hash_text` makes a hash of, for whoever scans a partition's rows anyway."""
    return f"sum(hash({', '.join(quote(column.name) for column in columns if column.name != PARTITION_COLUMN)}))"


def empty_hash(columns: Sequence[LakeColumn]) -> str:
    """The hash of a partition without rows."""
    return hash_text(0, 0, columns)


def hash_text(rows: int, total: int, columns: Sequence[LakeColumn]) -> str:
    """The hash of a partition with that many rows, whose `hash_aggregate` is `total`. Names and types are part of it: a
    renamed column is another content for whoever reads it."""
    lake_columns = [column for column in columns if column.name != PARTITION_COLUMN]
    schema = hashlib.sha256("\n".join(f"{column.name}\t{column.type}" for column in lake_columns).encode()).hexdigest()[:8]
    return f"{ALGORITHM}:{rows:x}:{total:x}:{schema}"
