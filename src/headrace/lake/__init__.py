"""The lake: DuckDB computes, DuckLake holds the tables, and its catalog is in the same database as Headrace's state.

Callers hand over a transaction and staged files; nothing here knows the store. The protocol is described in docs/decisions.
"""

from headrace.lake.tables import (
    PARTITION_COLUMN,
    ColumnLookup,
    ColumnStatistics,
    DeleteRef,
    FileRef,
    LakeColumn,
    LakeTable,
    Replacement,
    StagedDeletes,
    StagedFile,
    StagedPartition,
    StateFile,
)

__all__ = [
    "PARTITION_COLUMN",
    "ColumnLookup",
    "ColumnStatistics",
    "DeleteRef",
    "FileRef",
    "LakeColumn",
    "LakeTable",
    "Replacement",
    "StagedDeletes",
    "StagedFile",
    "StagedPartition",
    "StateFile",
]
