"""Read the catalog: snapshots, tables, and which files hold which partitions."""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from headrace.lake.catalog.columns import read_columns
from headrace.lake.catalog.schema import (
    HOLDS_ONE,
    HOLDS_SEVERAL,
    CatalogTransaction,
    microseconds,
    sayable,
    snapshot_time,
)
from headrace.lake.tables import ColumnLookup, DeleteRef, FileRef, LakeColumn, LakeTable
from headrace.lake.types import DOUBLE_EXACT_MAX
from headrace.model.errors import LakeError

KEYS_MAX = 64
"""Maximum number of partitions per statement."""
CHANGES_READ_MAX = 256
"""Maximum number of snapshots that are asked whether they changed a table."""
NOTES_CHARACTERS_MAX = 8 * 2**20
"""Maximum length of the texts whose partitions are cached, together; a set takes 13 times that."""
NO_KEYS: Mapping[str, str] = MappingProxyType({})


class TableRow(NamedTuple):
    """A table's identity. `folder` is relative to the data folder and ends with `/`."""

    id: int
    name: str
    folder: str


class FileRow(NamedTuple):
    """A data file at a snapshot.

    `keys` are the partitions that it holds, None if unknown; `first` and `last` bound them.
    """

    id: int
    ref: FileRef
    first: str | None
    last: str | None
    keys: frozenset[str] | None
    rows: int
    lost: Mapping[str, int] | None = None
    """Rows per partition if they are lost, and there is no file (`lake.catalog.inventory`)."""
    snapshots: tuple[int, int] = (0, 0)
    """First and last snapshot whose rows it has; they differ in files that DuckLake merged."""

    def may_hold(self, key: str) -> bool:
        """Return False only if the file can't have rows of the partition."""
        if self.keys is not None:
            return key in self.keys
        return (self.first is None or self.first <= key) and (self.last is None or key <= self.last)

    def may_hold_any(self, keys: frozenset[str] | set[str]) -> bool:
        """Return False only if the file can't have rows of any of the partitions."""
        return (
            not self.keys.isdisjoint(keys)
            if self.keys is not None
            else any(map(self.may_hold, keys))
        )


def newest_snapshot(tx: CatalogTransaction) -> int:
    """Return the id of the newest snapshot."""
    result: int = tx.execute("SELECT max(snapshot_id) FROM ducklake_snapshot").fetchone()[0]
    return result


class OldestSnapshot(NamedTuple):
    """The oldest snapshot that hasn't expired; 0 is the lake's first one.

    `at_us` is when it was made, in microseconds since 1970 UTC.
    """

    id: int
    at_us: int


def oldest_snapshot(tx: CatalogTransaction) -> OldestSnapshot:
    """Return the oldest snapshot that `read --at` can read."""
    row = tx.execute(
        "SELECT snapshot_id, snapshot_time FROM ducklake_snapshot ORDER BY snapshot_id LIMIT 1"
    ).fetchone()
    return OldestSnapshot(row[0], microseconds(row[1]))


def snapshot_at(tx: CatalogTransaction, at_us: int) -> int | None:
    """Return the newest snapshot made at or before a point in time; None before the first.

    `at_us` is in microseconds since 1970 UTC.
    """
    row = tx.execute(
        "SELECT max(snapshot_id) FROM ducklake_snapshot WHERE snapshot_time <= :time",
        {"time": snapshot_time(at_us)},
    ).fetchone()
    return None if row is None else row[0]


def snapshot_exists(tx: CatalogTransaction, snapshot: int) -> bool:
    """Whether the snapshot was made and hasn't expired."""
    return (
        tx.execute(
            "SELECT 1 FROM ducklake_snapshot WHERE snapshot_id = :snapshot", {"snapshot": snapshot}
        ).fetchone()
        is not None
    )


def table_row(tx: CatalogTransaction, name: str, snapshot: int | None) -> TableRow | None:
    """Return the table of this name in the schema `main` at a snapshot (None: now).

    Names are compared without case, as in DuckDB.
    """
    visible = (
        "t.end_snapshot IS NULL"
        if snapshot is None
        else (
            "t.begin_snapshot <= :snapshot AND (t.end_snapshot IS NULL OR t.end_snapshot >"
            " :snapshot)"
        )
    )
    row = tx.execute(
        "SELECT t.table_id, t.table_name, t.path, t.path_is_relative, s.path, s.path_is_relative"
        " FROM ducklake_table t JOIN ducklake_schema s ON s.schema_id = t.schema_id WHERE"
        f" s.schema_name = 'main' AND lower(t.table_name) = lower(:name) AND {visible} AND"
        " s.end_snapshot IS NULL",
        {"name": name, "snapshot": snapshot},
    ).fetchone()
    if row is None:
        return None
    schema_folder = row[4] if row[3] else ""
    return TableRow(row[0], row[1], f"{schema_folder}{row[2]}")


def names_of(tx: CatalogTransaction, name: str) -> list[str]:
    """Return the names that a table has ever had, in lower case; empty if there is none now."""
    now = table_row(tx, name, None)
    if now is None:
        return []
    sql = "SELECT DISTINCT lower(table_name) FROM ducklake_table WHERE table_id = :table"
    return [row[0] for row in tx.execute(sql, {"table": now.id}).fetchall()]


def is_changed(tx: CatalogTransaction, table_id: int, snapshot: int, newest: int) -> bool:
    """Return False only if no snapshot after this one has changed the table.

    Each snapshot says which tables it changed, whoever made it; DuckLake's own conflict check reads
    that, too. One that is missing, or that says more than ids of tables, may have changed any, and
    so may more than CHANGES_READ_MAX.
    """
    if newest - snapshot > CHANGES_READ_MAX:
        return True
    rows = tx.execute(
        "SELECT changes_made FROM ducklake_snapshot_changes WHERE snapshot_id > :snapshot",
        {"snapshot": snapshot},
    ).fetchall()
    return len(rows) != newest - snapshot or any(
        _ONLY_IDS.fullmatch(changes or "") is None or str(table_id) in _IDS.findall(changes)
        for (changes,) in rows
    )


_ONLY_IDS = re.compile(r"[a-z_]+:\d+(,[a-z_]+:\d+)*")
_IDS = re.compile(r"\d+")


def row_at(tx: CatalogTransaction, name: str, snapshot: int) -> TableRow | None:
    """Return the table with this name at a snapshot.

    If there is none, return the one with this name now, if it existed then under another name.
    """
    row = table_row(tx, name, snapshot)
    if row is not None:
        return row
    now = table_row(tx, name, newest_snapshot(tx))
    there = (
        "SELECT 1 FROM ducklake_table WHERE table_id = :table AND begin_snapshot <= :snapshot"
        " LIMIT 1"
    )
    if now is None or tx.execute(there, {"table": now.id, "snapshot": snapshot}).fetchone() is None:
        return None
    return now


def tables(tx: CatalogTransaction, snapshot: int | None = None) -> list[str]:
    """Return the names of all tables in the schema `main`."""
    at = newest_snapshot(tx) if snapshot is None else snapshot
    rows = tx.execute(
        "SELECT t.table_name FROM ducklake_table t JOIN ducklake_schema s ON s.schema_id ="
        " t.schema_id WHERE s.schema_name = 'main' AND t.begin_snapshot <= :snapshot AND"
        " (t.end_snapshot IS NULL OR t.end_snapshot > :snapshot) ORDER BY t.table_name",
        {"snapshot": at},
    ).fetchall()
    return [row[0] for row in rows]


def table(tx: CatalogTransaction, name: str, snapshot: int | None = None) -> LakeTable | None:
    """Return the table with its columns as of a snapshot (None: now).

    None if it doesn't exist then.
    """
    if snapshot is not None:
        row = row_at(tx, name, snapshot)
        return None if row is None else table_of(tx, row, snapshot)
    row = table_row(tx, name, None)
    return None if row is None else table_of(tx, row, newest_snapshot(tx))


def table_of(tx: CatalogTransaction, row: TableRow, snapshot: int) -> LakeTable:
    """Return a table with its columns as of a snapshot."""
    return LakeTable(
        row.name, read_columns(tx, row.id, snapshot), next_column_id(tx, row.id), row.folder
    )


def column_versions(tx: CatalogTransaction, name: str) -> list[tuple[int, tuple[LakeColumn, ...]]]:
    """Return each snapshot that changed a table's columns, with the columns from then on."""
    row = table_row(tx, name, None)
    if row is None:
        return []
    sql = (
        "SELECT begin_snapshot FROM ducklake_column WHERE table_id = :table UNION SELECT"
        " end_snapshot FROM ducklake_column WHERE table_id = :table AND end_snapshot IS NOT NULL"
        " ORDER BY 1"
    )
    snapshots = tx.execute(sql, {"table": row.id}).fetchall()
    return [(snapshot, read_columns(tx, row.id, snapshot)) for (snapshot,) in snapshots]


def exact_as_double(tx: CatalogTransaction, name: str) -> tuple[str, ...]:
    """Return the table's BIGINT and UBIGINT columns whose values are all exact as DOUBLE.

    The bounds of all files that were ever in the table decide.
    """
    row = table_row(tx, name, newest_snapshot(tx))
    if row is None:
        return ()
    results = tx.execute(
        "SELECT c.column_name, s.min_value, s.max_value FROM ducklake_column c JOIN"
        " ducklake_table_column_stats s ON s.table_id = c.table_id AND s.column_id = c.column_id"
        " WHERE c.table_id = :table AND c.end_snapshot IS NULL AND c.column_type IN ('int64',"
        " 'uint64') AND s.min_value IS NOT NULL AND s.max_value IS NOT NULL",
        {"table": row.id},
    ).fetchall()
    return tuple(
        column for column, low, high in results if max(-int(low), int(high)) <= DOUBLE_EXACT_MAX
    )


def next_column_id(tx: CatalogTransaction, table_id: int) -> int:
    """Return the first column id never used: old files still have dropped columns' ids."""
    result: int = tx.execute(
        "SELECT max(column_id) + 1 FROM ducklake_column WHERE table_id = :table",
        {"table": table_id},
    ).fetchone()[0]
    return result


def files(
    tx: CatalogTransaction, name: str, partitions: Sequence[str] | None, snapshot: int | None = None
) -> list[FileRef]:
    """Return the files with the rows of some partitions of a table (None: all), as of a snapshot.

    They are sorted by their first partition. For a file that also holds others, `partitions` is set
    to the ones to read. Partitions without rows have no file. Raises LakeError for an unknown
    table, an expired snapshot, and foreign data that lists of files can't represent.
    """
    at = _snapshot(tx, snapshot)
    row = row_at(tx, name, at)
    if row is None:
        raise LakeError(
            f"the lake has no table `{name}`"
            + ("" if snapshot is None else f" at snapshot {snapshot}")
        )
    view = View(tx, row, None if snapshot is None else at)
    if partitions is None:
        return [file.ref for file in view.all()]
    keys = sorted(set(partitions))
    return [_narrowed(file, keys) for file in view.holding(keys)]


def shared_files(
    tx: CatalogTransaction, name: str, partitions: Sequence[str], *, retyped: bool = False
) -> list[FileRef]:
    """Return the current files that hold (or may hold) some of these partitions *and* others.

    With `retyped`, all files that hold others. To replace one of the partitions, each file must be
    rewritten without them (`staging.stage_rewrite`) and passed to `CatalogChange.replace`. Empty
    for an unknown table. Lost rows are in no file: `replace` itself registers what is left of them.
    """
    row = table_row(tx, name, None)
    if row is None:
        return []
    replaced, view = frozenset(partitions), View(tx, row, None)
    return [
        file.ref
        for file in (view.all() if retyped else view.holding(partitions))
        if must_be_rewritten(file, replaced)
    ]


def holds_only(file: FileRow, keys: frozenset[str]) -> bool:
    """Whether all rows of the file certainly belong to these partitions."""
    if file.keys is not None:
        return file.keys <= keys
    return file.first is not None and file.first == file.last and file.first in keys


def must_be_rewritten(file: FileRow, keys: frozenset[str]) -> bool:
    """Whether replacing these partitions needs a copy of the file without them."""
    return file.lost is None and not holds_only(file, keys)


class View:
    """A table's files now, or at a snapshot.

    Facts about the table are read once and cached, so that a change of many partitions needs one
    indexed lookup for each.
    """

    def __init__(self, tx: CatalogTransaction, table: TableRow, snapshot: int | None) -> None:
        self._tx, self._table, self._snapshot = tx, table, snapshot
        self._visible = _NOW if snapshot is None else _THEN
        self._several: list[FileRow] | None = None
        inlined, hive, deletes, self._changed, retyped = tx.execute(
            _STATE, {"table": table.id, "snapshot": FAR if snapshot is None else snapshot}
        ).fetchone()
        _refuse_unreadable(table, inlined=inlined, hive=hive)
        self._retyped = retyped or 0
        self._deletes = _deletes(tx, table, snapshot) if deletes else {}

    def all(self) -> list[FileRow]:
        """Return all files, sorted by their first partition."""
        return self._sorted(
            self._query(
                f"{_FILES} LEFT JOIN ducklake_file_column_stats s ON s.data_file_id ="
                " f.data_file_id AND s.column_id = 1 AND s.table_id = :table WHERE f.table_id ="
                f" :table AND {self._visible}"
            )
        )

    def holding(self, keys: Iterable[str]) -> list[FileRow]:
        """Return the files that hold or may hold some of the partitions, sorted like `all`."""
        checked_keys = _checked(keys)
        rows: list[FileRow] = []
        queried = sorted(key for key in checked_keys if sayable(self._tx, key))
        for start in range(0, len(queried), KEYS_MAX):
            rows += self._holding_one(queried[start : start + KEYS_MAX])
        if self._several is None:
            self._several = self._query(
                f"{_STATISTICS} WHERE s.table_id = :table AND {HOLDS_SEVERAL} AND {self._visible}"
            )
        return self._sorted(
            [*rows, *(file for file in self._several if file.may_hold_any(checked_keys))]
        )

    def _holding_one(self, keys: Sequence[str]) -> list[FileRow]:
        """Return the files that hold exactly one partition, which is one of these.

        There are only two texts of the statement (1 and `KEYS_MAX` keys), so that the store has
        them prepared.
        """
        size = 1 if len(keys) == 1 else KEYS_MAX
        parameters = {f"key_{n}": keys[min(n, len(keys) - 1)] for n in range(size)}
        marks = ", ".join(f":{name}" for name in parameters)
        return self._query(
            f"{_STATISTICS} WHERE s.table_id = :table AND s.min_value IN ({marks}) AND {HOLDS_ONE}"
            f" AND {self._visible}",
            parameters,
        )

    def _query(self, sql: str, keys: Mapping[str, str] = NO_KEYS) -> list[FileRow]:
        rows = self._tx.execute(
            sql, {"table": self._table.id, "snapshot": self._snapshot, **keys}
        ).fetchall()
        return [
            _file_row(
                row,
                self._table,
                self._deletes.get(row[0], ()),
                self._snapshot,
                (self._changed, self._retyped),
            )
            for row in rows
        ]

    def _sorted(self, rows: list[FileRow]) -> list[FileRow]:
        return sorted(rows, key=lambda file: (file.first or "", file.id))


_COLUMNS = (
    "SELECT f.data_file_id, f.path, f.path_is_relative, s.min_value, s.max_value, s.extra_stats,"
    " f.record_count, f.partial_max, f.mapping_id, f.encryption_key, f.file_format,"
    " f.begin_snapshot"
)
_FILES = f"{_COLUMNS} FROM ducklake_data_file f"
_STATISTICS = (
    f"{_COLUMNS} FROM ducklake_file_column_stats s JOIN ducklake_data_file f ON f.data_file_id ="
    " s.data_file_id"
)
FOREIGN_FILES = "ducklake-"
"""Prefix of the names of files that DuckLake wrote."""
FAR = 2**62
"""A snapshot after all others."""
_STATE = (
    "SELECT EXISTS (SELECT 1 FROM ducklake_inlined_data_tables WHERE table_id = :table), EXISTS"
    " (SELECT 1 FROM ducklake_column_mapping c JOIN ducklake_name_mapping n ON n.mapping_id ="
    " c.mapping_id WHERE c.table_id = :table AND n.is_partition), EXISTS (SELECT 1 FROM"
    " ducklake_delete_file WHERE table_id = :table), max(CASE WHEN end_snapshot <= :snapshot THEN"
    " end_snapshot ELSE begin_snapshot END), (SELECT max(c.begin_snapshot) FROM ducklake_column c"
    " JOIN ducklake_column b ON b.table_id = c.table_id AND b.column_id = c.column_id AND"
    " b.begin_snapshot < c.begin_snapshot AND b.column_type <> c.column_type WHERE c.table_id ="
    " :table AND c.begin_snapshot <= :snapshot) FROM ducklake_column WHERE table_id = :table AND"
    " begin_snapshot <= :snapshot"
)
"""State of a table.

Whether another writer put rows into the catalog, or values into names of folders; whether rows were
ever deleted by position; and the snapshots that last changed its columns, and the type of one.
"""
_NOW = "f.end_snapshot IS NULL"
_THEN = "f.begin_snapshot <= :snapshot AND (f.end_snapshot IS NULL OR f.end_snapshot > :snapshot)"


def _checked(keys: Iterable[str]) -> set[str]:
    """Check that the keys are text that a database can store.

    Raises LakeError for lone surrogates (a file name that isn't UTF-8).
    """
    results = set(keys)
    for key in results:
        if not key.isascii() and any("\ud800" <= character <= "\udfff" for character in key):
            raise LakeError(f"the partition key {key!r} is not valid text")
    return results


def keys_text(keys: Iterable[str]) -> str:
    """Return the text for `extra_stats` of `_partition` in a file that holds several partitions.

    DuckLake reads that field only for geometries and variants.
    """
    return json.dumps({"headrace": {"partitions": sorted(keys)}})


def lost_text(rows: Mapping[str, int]) -> str:
    """Like `keys_text`, for lost rows, with the number of rows per partition."""
    return json.dumps(
        {"headrace": {"partitions": sorted(rows), "lost": dict(sorted(rows.items()))}}
    )


_Noted = tuple[frozenset[str] | None, Mapping[str, int] | None]


class _Notes:
    """What is recorded of files, decoded; the texts asked for last.

    Every lookup of a partition reads what all files with several partitions hold, and what is
    recorded of a file doesn't change, so it is decoded once. Threads share it.
    """

    def __init__(self) -> None:
        self._decoded: OrderedDict[str, _Noted] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    def of(self, extra_stats: str) -> _Noted:
        """Return the partitions of a file, if recorded, and the rows of each if they are lost."""
        with self._lock:
            known = self._decoded.get(extra_stats)
            if known is None:
                known = self._decoded[extra_stats] = _decode_note(extra_stats)
                self._characters += len(extra_stats)
                while self._characters > NOTES_CHARACTERS_MAX and len(self._decoded) > 1:
                    self._characters -= len(self._decoded.popitem(last=False)[0])
            else:
                self._decoded.move_to_end(extra_stats)
            return known


_NOTES = _Notes()


def _noted(extra_stats: str | None) -> _Noted:
    return _NOTES.of(extra_stats) if extra_stats else (None, None)


def _decode_note(extra_stats: str) -> _Noted:
    try:
        noted = json.loads(extra_stats)["headrace"]
        return frozenset(noted["partitions"]), noted.get("lost")
    except (ValueError, KeyError, TypeError):
        return None, None


def decoded_keys(
    extra_stats: str | None, least: str | None, most: str | None
) -> frozenset[str] | None:
    """Return the partitions that a file holds by its statistics of `_partition`.

    None if they aren't known, or if the file's rows are lost.
    """
    keys, lost = _noted(extra_stats)
    if lost is not None:
        return None
    return frozenset((least,)) if keys is None and least is not None and least == most else keys


def _file_row(
    row: Sequence[Any],
    table: TableRow,
    deletes: tuple[DeleteRef, ...],
    snapshot: int | None,
    changes: tuple[int, int],
) -> FileRow:
    file_id, path, relative, first, last, extra, rows, partial_max, mapping, key, kind, begin = row
    if key is not None or kind != "parquet":
        raise LakeError(
            f"the file {path} of table `{table.name}` is encrypted or isn't Parquet; only plain"
            " Parquet files can be read here"
        )
    partial = partial_max is not None and snapshot is not None and partial_max > snapshot
    lookup = ColumnLookup.NAME if mapping is not None else _lookup(path, begin, changes)
    ref = FileRef(
        f"{table.folder}{path}" if relative else path,
        None,
        deletes,
        snapshot if partial else None,
        lookup,
    )
    keys, lost = _noted(extra)
    if keys is None and first is not None and first == last:
        keys = frozenset((first,))
    return FileRow(
        file_id, ref, first, last, keys, rows, lost, (begin, max(begin, partial_max or begin))
    )


def _lookup(path: str, begin: int, changes: tuple[int, int]) -> ColumnLookup:
    """Return how a file's columns are found, by the snapshots of `_STATE` that changed them.

    A foreign transaction may insert rows before it changes the columns; Headrace's own files have
    the changed columns.
    """
    first = begin if path.startswith(FOREIGN_FILES) else begin + 1
    columns_changed, type_changed = (first <= at for at in changes)
    if not columns_changed:
        return ColumnLookup.SAME
    return ColumnLookup.CAST if type_changed else ColumnLookup.ID


def _narrowed(file: FileRow, keys: Sequence[str]) -> FileRef:
    """Return the file with the wanted keys to read, or with all rows if it holds no others."""
    if holds_only(file, frozenset(keys)):
        return file.ref
    ref = file.ref
    return FileRef(
        ref.path,
        tuple(key for key in keys if file.may_hold(key)),
        ref.deletes,
        ref.snapshot_max,
        ref.lookup,
    )


def _deletes(
    tx: CatalogTransaction, table: TableRow, snapshot: int | None
) -> dict[int, tuple[DeleteRef, ...]]:
    """Return the positional delete files by data file."""
    visible = (
        "end_snapshot IS NULL"
        if snapshot is None
        else "begin_snapshot <= :snapshot AND (end_snapshot IS NULL OR end_snapshot > :snapshot)"
    )
    rows = tx.execute(
        "SELECT data_file_id, path, path_is_relative, format, encryption_key, partial_max FROM"
        f" ducklake_delete_file WHERE table_id = :table AND {visible}",
        {"table": table.id, "snapshot": snapshot},
    ).fetchall()
    results: dict[int, tuple[DeleteRef, ...]] = {}
    for file_id, path, relative, kind, key, partial_max in rows:
        if kind != "parquet" or key is not None:
            raise LakeError(
                f"table `{table.name}` has deletions in a form that can't be read here ({kind})",
                hint="rewrite them with DuckLake: CALL ducklake_rewrite_data_files('lake')",
            )
        until = (
            snapshot
            if snapshot is not None and partial_max is not None and partial_max > snapshot
            else None
        )
        results[file_id] = (
            *results.get(file_id, ()),
            DeleteRef(f"{table.folder}{path}" if relative else path, until),
        )
    return results


def named_paths(tx: CatalogTransaction) -> set[str]:
    """Return all paths in the catalog, of any snapshot and table.

    Files that DuckLake will delete itself are included. Paths are relative to the data folder, or
    absolute if a foreign writer registered them so.
    """
    rows = tx.execute(
        "SELECT s.path, s.path_is_relative, t.path, t.path_is_relative, f.path, f.path_is_relative"
        " FROM (SELECT table_id, path, path_is_relative FROM ducklake_data_file UNION ALL SELECT"
        " table_id, path, path_is_relative FROM ducklake_delete_file) f JOIN ducklake_table t ON"
        " t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id"
    ).fetchall()
    named = {_joined(((row[0], row[1]), (row[2], row[3]), (row[4], row[5]))) for row in rows}
    scheduled = tx.execute("SELECT path FROM ducklake_files_scheduled_for_deletion").fetchall()
    return named | {row[0] for row in scheduled}


def _joined(parts: Iterable[tuple[str, Any]]) -> str:
    """Join the parts of a path; a part that isn't relative starts a new path."""
    path = ""
    for part, relative in parts:
        path = path + part if relative else part
    return path


def _refuse_unreadable(table: TableRow, *, inlined: bool, hive: bool) -> None:
    """Refuse tables with rows that are in no file, because reading without them would be wrong.

    A foreign writer may put rows into the catalog itself, or values into names of folders.
    """
    if inlined:
        raise LakeError(
            f"another writer has put rows of table `{table.name}` into the catalog itself",
            hint="write them to files with DuckLake: CALL ducklake_flush_inlined_data('lake')",
        )
    if hive:
        raise LakeError(
            f"another writer has registered files of table `{table.name}` whose columns are in the"
            " names of their folders",
            hint="insert their rows with DuckLake instead of registering the files",
        )


def _snapshot(tx: CatalogTransaction, snapshot: int | None) -> int:
    if snapshot is None:
        return newest_snapshot(tx)
    if not snapshot_exists(tx, snapshot):
        raise LakeError(f"the lake has no snapshot {snapshot}: it was never made, or has expired")
    return snapshot
