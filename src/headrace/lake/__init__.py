"""The lake: tables in DuckLake, computed by DuckDB; the catalog shares the state's database.

Callers pass a transaction and staged files; nothing here depends on the state store. docs/decisions
describes the protocol.
"""

from headrace.lake.tables import (
    PARTITION_COLUMN,
    STATE_SCHEMA,
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
    as_other_columns,
    reshaped,
)

__all__ = [
    "PARTITION_COLUMN",
    "STATE_SCHEMA",
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
    "as_other_columns",
    "reshaped",
]
