"""The lake: DuckDB computes, a DuckLake holds the tables, and its catalog lives in the same database as Headrace's state.

Is handed a transaction and a list of staged files; knows no store. See LAKE protocol in docs/decisions.
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
