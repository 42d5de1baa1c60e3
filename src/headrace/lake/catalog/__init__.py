"""The lake's catalog: the one place that knows DuckLake's tables. Plain SQL inside a transaction that somebody else commits.

`CatalogChange` writes, the functions read. No DuckDB here: the process that holds the state database has only one SQLite library.
"""

from headrace.lake.catalog.accumulating import seen, state
from headrace.lake.catalog.admission import next_id
from headrace.lake.catalog.change import CatalogChange, Rewrite
from headrace.lake.catalog.ddl import (
    KEYS,
    VERSION,
    check_version,
    create,
    create_tables,
    data_path,
    missing,
    move,
    names,
)
from headrace.lake.catalog.errors import FileMoved, NeedsRewrite, TableMoved
from headrace.lake.catalog.inventory import Registered, ended_files, held_keys, registered, snapshot_time_of
from headrace.lake.catalog.lost_rows import any_lost, left_of
from headrace.lake.catalog.reading import (
    FileRow,
    exact_as_double,
    files,
    named_paths,
    newest_snapshot,
    oldest_snapshot,
    shared_files,
    snapshot_at,
    snapshot_exists,
    table,
    tables,
)
from headrace.lake.catalog.times import snapshot_time
from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.lake.catalog.watching import (
    CurrentFile,
    count_current,
    count_elsewhere,
    current,
    current_after,
    current_deletes,
    files_of,
    ids_holding,
)

__all__ = [
    "KEYS",
    "VERSION",
    "CatalogChange",
    "CatalogTransaction",
    "CurrentFile",
    "FileMoved",
    "FileRow",
    "NeedsRewrite",
    "Registered",
    "Rewrite",
    "TableMoved",
    "any_lost",
    "check_version",
    "count_current",
    "count_elsewhere",
    "create",
    "create_tables",
    "current",
    "current_after",
    "current_deletes",
    "data_path",
    "ended_files",
    "exact_as_double",
    "files",
    "files_of",
    "held_keys",
    "ids_holding",
    "left_of",
    "missing",
    "move",
    "named_paths",
    "names",
    "newest_snapshot",
    "next_id",
    "oldest_snapshot",
    "registered",
    "seen",
    "shared_files",
    "snapshot_at",
    "snapshot_exists",
    "snapshot_time",
    "snapshot_time_of",
    "state",
    "table",
    "tables",
]
