"""Changes of the lake: collected in memory, written as one snapshot in a transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from headrace.lake.catalog import inventory
from headrace.lake.catalog.admission import (
    Deletions,
    FileMoved,
    NeedsRewrite,
    TableMoved,
    check_columns,
    check_keys,
    check_replacement,
    check_staged,
    difference,
    names_of,
    next_id,
    write_files,
)
from headrace.lake.catalog.columns import ids_of, rows_of
from headrace.lake.catalog.reading import (
    FileRow,
    TableRow,
    View,
    is_changed,
    must_be_rewritten,
    table_of,
    table_row,
)
from headrace.lake.catalog.schema import (
    CatalogTransaction,
    exclude_others,
    microseconds,
    snapshot_time,
)
from headrace.lake.tables import (
    PARTITION_COLUMN,
    SCHEMA_FOLDER,
    FileRef,
    LakeColumn,
    LakeTable,
    Replacement,
    StagedFile,
    file_name,
    folder_of,
)
from headrace.model.errors import LakeError

_NEW_TABLE = (
    "INSERT INTO ducklake_table VALUES (:table, :uuid, :snapshot, NULL, 0, :name, :path, :relative)"
)
_IDENTITY = (
    "SELECT table_uuid, path, path_is_relative FROM ducklake_table WHERE table_id = :table AND"
    " end_snapshot IS NULL"
)
_END_TABLE = (
    "UPDATE ducklake_table SET end_snapshot = :snapshot WHERE table_id = :table AND end_snapshot IS"
    " NULL"
)
_NEW_COLUMN = (
    "INSERT INTO ducklake_column VALUES (:id, :snapshot, NULL, :table, :id, :name, :type, :initial,"
    " 'NULL', :nullable, :parent, :default_type, 'duckdb')"
)
_END_COLUMN = (
    "UPDATE ducklake_column SET end_snapshot = :snapshot WHERE table_id = :table AND column_id ="
    " :id AND end_snapshot IS NULL AND begin_snapshot < :snapshot"
)


_FORGET_BOUNDS = (
    "UPDATE ducklake_table_column_stats SET contains_null = NULL, contains_nan = NULL, min_value ="
    " NULL, max_value = NULL WHERE table_id = :table AND column_id = :column"
)


class NewSnapshot(msgspec.Struct, frozen=True):
    """A snapshot that a transaction adds: ids, time as catalog text, and the next free ids."""

    id: int
    time: str
    schema_version: int
    next_catalog: int
    next_file: int

    @classmethod
    def begin(cls, tx: CatalogTransaction, at_us: int) -> NewSnapshot:
        """Return the snapshot after the newest one, in a transaction that holds the write lock.

        `at_us` is its time (microseconds since 1970 UTC), raised to the previous snapshot's time
        if it is earlier.
        """
        exclude_others(tx)
        newest = tx.execute(
            "SELECT snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id FROM"
            " ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1"
        ).fetchone()
        if newest is None:
            raise LakeError("the lake's catalog has no snapshot")
        time = snapshot_time(max(at_us, microseconds(newest[1])))
        return cls(newest[0] + 1, time, *newest[2:])

    def write(
        self, tx: CatalogTransaction, changes: Sequence[str], author: str, message: str
    ) -> None:
        """Insert the snapshot with its changes, which DuckLake's conflict check reads."""
        tx.execute(
            "INSERT INTO ducklake_snapshot VALUES (:snapshot, :time, :schema, :catalog, :file)",
            {
                "snapshot": self.id,
                "time": self.time,
                "schema": self.schema_version,
                "catalog": self.next_catalog,
                "file": self.next_file,
            },
        )
        tx.execute(
            "INSERT INTO ducklake_snapshot_changes(snapshot_id, changes_made, author,"
            " commit_message) VALUES (:snapshot, :changes, :author, :message)",
            {
                "snapshot": self.id,
                "changes": ",".join(changes),
                "author": author,
                "message": message,
            },
        )


class Rewrite(msgspec.Struct, frozen=True):
    """The rewrite of the current file at `path` without replaced partitions.

    None if nothing is left.
    """

    path: str
    staged: StagedFile | None


class FilesFound(msgspec.Struct, frozen=True):
    """The files that hold some partitions of a table, as of a snapshot.

    An earlier transaction found them for a later change (`CatalogChange.find`).
    """

    snapshot: int
    table: TableRow
    partitions: frozenset[str]
    files: tuple[FileRow, ...]


class _Open(msgspec.Struct):
    """A table with its changes so far."""

    row: TableRow
    table: LakeTable
    is_new: bool = False
    is_altered: bool = False
    is_renamed: bool = False
    files: dict[str, tuple[int, StagedFile]] = {}
    """New files by their name in the table's folder, with their ids."""
    ended: set[int] = set()
    ended_with_deletes: set[int] = set()
    deletions: Deletions | None = None
    published: set[str] = set()
    before_columns: tuple[LakeTable, int] | None = None
    """The table before `evolve_table`, and the number of statements then; None once the change is
    complete."""
    retyped: set[int] = set()
    """Ids of columns that get another type, so that all files must be replaced."""
    view: View | None = None
    held: tuple[frozenset[str], list[FileRow]] | None = None
    """Cache of the last query: partition keys, and the files that hold or may hold them."""


class CatalogChange:
    """All changes of one transaction to the lake, which may publish several attempts.

    A method that raises leaves the change as it was, so that its other publications go on. Nothing
    is written before `finish`.
    """

    def __init__(self, tx: CatalogTransaction, new: NewSnapshot) -> None:
        self._tx = tx
        self.snapshot, self._time = new.id, new.time
        self._schema_version = new.schema_version
        self._next_catalog, self._next_file = new.next_catalog, new.next_file
        self._tables: dict[str, _Open] = {}
        self._files_found: dict[str, FilesFound] = {}
        self._ddl: list[tuple[str, list[dict[str, Any]]]] = []

    @classmethod
    def begin(
        cls, tx: CatalogTransaction, at_us: int, files_found: Iterable[FilesFound] = ()
    ) -> CatalogChange:
        """Begin a change in a transaction that holds the write lock.

        `at_us` is the snapshot's time (microseconds since 1970 UTC), raised to the previous
        snapshot's time if it is earlier. `files_found` are used for tables that haven't
        changed since.
        """
        change = cls(tx, NewSnapshot.begin(tx, at_us))
        change._files_found = {
            item.table.name.lower(): item
            for item in files_found
            if not is_changed(tx, item.table.id, item.snapshot, change.snapshot - 1)
        }
        return change

    def find(self, table_name: str, partitions: Iterable[str]) -> FilesFound | None:
        """Find the files that hold these partitions, for a later change; None without a table."""
        opened, keys = self._find(table_name), frozenset(partitions)
        if opened is None:
            return None
        return FilesFound(self.snapshot - 1, opened.row, keys, tuple(self._holding(opened, keys)))

    def table(self, name: str) -> LakeTable | None:
        """Return the table with this change applied; None if it doesn't exist."""
        opened = self._find(name)
        return None if opened is None else opened.table

    def create_table(self, table: LakeTable) -> None:
        """Create the table; do nothing if it exists with these columns.

        Raises TableMoved if it exists with others.
        """
        check_columns(table)
        opened = self._find(table.name)
        if opened is not None:
            if opened.table.columns != table.columns:
                raise TableMoved(f"table `{table.name}` exists already, with other columns")
            return
        folder = folder_of(table.name)
        row = TableRow(self._next_catalog, table.name, SCHEMA_FOLDER + folder)
        self._next_catalog += 1
        self._tables[table.name.lower()] = _Open(
            row,
            LakeTable(table.name, table.columns, next_id(table.columns), row.folder),
            is_new=True,
        )
        new = {
            "table": row.id,
            "uuid": str(uuid.uuid4()),
            "name": table.name,
            "path": folder,
            "relative": True,
        }
        self._ddl.append((_NEW_TABLE, [new]))
        self._insert_columns(row.id, table.columns)

    def evolve_table(self, table: LakeTable) -> None:
        """Change the table's columns to those of `table`, derived from its current columns.

        Columns with a known id stay or get another type, missing ones are dropped, columns with a
        new id are added. Does nothing if the columns are the same. Where a type changes, the
        following `replace` or `merge` must replace all files: no column has files of two types. If
        that raises, the columns are what they were. Raises TableMoved if the table has changed
        since `table` was derived from it.
        """
        check_columns(table)
        opened = self._opened(table.name)
        if opened.table.columns == table.columns:
            return
        if opened.is_new or opened.is_altered or opened.files:
            raise TableMoved(f"table `{table.name}` is changed by this change already")
        ended, new = difference(opened.table, table)
        was = {column.id: column.type for column in opened.table.columns}
        opened.before_columns = opened.table, len(self._ddl)
        opened.retyped = {
            column_id
            for column in new
            if was.get(column.id, column.type) != column.type
            for column_id in ids_of(column)
        }
        self._end_columns(opened.row.id, ended)
        self._insert_columns(opened.row.id, new)
        opened.table = LakeTable(
            opened.table.name,
            table.columns,
            max(opened.table.next_id, next_id(table.columns)),
            opened.row.folder,
        )
        opened.is_altered = True

    def rename_table(self, name: str, new_name: str) -> None:
        """Rename the table like DuckLake's ALTER TABLE … RENAME: id, folder and history stay.

        Raises LakeError if there is no such table, if this change has already changed it, or if the
        name is taken.
        """
        opened = self._opened(name)
        if opened.is_new or opened.is_altered or opened.files or opened.ended:
            raise LakeError(f"table `{name}` is changed by this change already")
        if name.lower() != new_name.lower() and self._find(new_name) is not None:
            raise LakeError(
                f"the lake has a table `{new_name}` already, so `{name}` can't be called so",
                hint="take another name",
            )
        row = self._tx.execute(_IDENTITY, {"table": opened.row.id}).fetchone()
        identity = {
            "table": opened.row.id,
            "uuid": row[0],
            "path": row[1],
            "relative": row[2],
            "name": new_name,
        }
        self._ddl += [(_END_TABLE, [{"table": opened.row.id}]), (_NEW_TABLE, [identity])]
        opened.row = opened.row._replace(name=new_name)
        opened.table = msgspec.structs.replace(opened.table, name=new_name)
        opened.is_renamed = True
        self._tables[new_name.lower()] = self._tables.pop(name.lower())

    def shared_files(
        self, table_name: str, partitions: Sequence[str], *, retyped: bool
    ) -> list[FileRef]:
        """Like `reading.shared_files`, cached for `replace` of the same partitions."""
        opened, keys = self._find(table_name), frozenset(partitions)
        if opened is None:
            return []
        replaced = self._replaced(opened, keys, retyped=retyped)
        return [file.ref for file in replaced if must_be_rewritten(file, keys)]

    def replace(
        self,
        table_name: str,
        partitions: Iterable[str],
        staged: Sequence[StagedFile],
        *,
        rewrites: Sequence[Rewrite] = (),
    ) -> None:
        """Publish staged files as the new rows of these partitions.

        Without staged files the partitions end. Files that hold only these partitions end. For a
        file that also holds others, `rewrites` must contain the rest. Raises NeedsRewrite if a
        rewrite is missing, FileMoved if a rewritten file isn't current any more, and LakeError for
        staged rows of another partition or a partition that this change has already published.
        """
        opened, keys = self._opened(table_name), frozenset(partitions)
        with self._columns_kept_unless_done(opened):
            check_keys(opened.table, keys, staged)
            if not keys.isdisjoint(opened.published):
                raise LakeError(
                    f"partition {min(keys & opened.published)!r} of table `{table_name}` is"
                    " published twice in one change"
                )
            current = self._replaced(opened, keys, retyped=bool(opened.retyped))
            _check_rewrites(opened, current, keys, rewrites)
            new = [*staged, *(rewrite.staged for rewrite in rewrites if rewrite.staged is not None)]
            # Lost rows of other partitions stay registered although the file that had them ends.
            new += [
                entry
                for file in current
                if (entry := self._still_lost(opened, file, keys)) is not None
            ]
            self._check_new(opened, new)
        _end(opened, current)
        opened.published |= keys
        for file in new:
            self._admit(opened, file)

    def give_up(self, table_name: str, path: str, rows: Mapping[str, int]) -> None:
        """Register the rows of an unreadable current file as lost.

        `rows` are the rows per partition. Each of its partitions can then be replaced without the
        others' rows. Readers are still refused, because there is no file. Raises FileMoved for a
        file that isn't current, and LakeError for one that holds other partitions.
        """
        opened = self._opened(table_name)
        file_rows = [
            file
            for file in View(self._tx, opened.row, None).all()
            if file.ref.path == path and file.id not in opened.ended
        ]
        if opened.is_new or not file_rows:
            raise FileMoved(f"the file {path} of table `{table_name}` isn't current any more")
        (file,) = file_rows
        if file.keys is not None and file.keys != rows.keys():
            raise LakeError(
                f"the file {path} of table `{table_name}` holds other partitions than are given up"
            )
        lost = inventory.entry(self._tx, opened.row.id, opened.table, file, rows)
        self._check_new(opened, [lost])
        _end(opened, [file])
        self._admit(opened, lost)

    def _still_lost(
        self, opened: _Open, file: FileRow, replaced: frozenset[str]
    ) -> StagedFile | None:
        """Return an entry for the lost rows that remain after some partitions are replaced."""
        left = {
            key: rows for key, rows in (file.lost or {}).items() if key not in replaced and rows
        }
        return inventory.entry(self._tx, opened.row.id, opened.table, file, left) if left else None

    def merge(self, table_name: str, staged: StagedFile | None, replacement: Replacement) -> None:
        """Publish a merge: end files, apply deletions to others, and add the staged rows.

        Raises FileMoved if the table's files differ from those that the merge started from, and
        LakeError for invalid staged files and deletions.
        """
        opened = self._opened(table_name)
        files = View(self._tx, opened.row, None).all() if not opened.is_new else []
        current = {file.ref.path: file for file in files}
        new = [] if staged is None else [staged]
        with self._columns_kept_unless_done(opened):
            if names_of(files) != replacement.seen or opened.files or opened.ended:
                raise FileMoved(f"table `{opened.row.name}` isn't as the merge found it")
            if opened.retyped and set(replacement.ended) != current.keys():
                raise TableMoved(f"table `{opened.row.name}` keeps files of other types")
            check_replacement(current, replacement)
            self._check_new(opened, new)
        if replacement.deletes or replacement.restored:
            opened.deletions = self._deletions(opened, current, replacement)
        _end(opened, [current[path] for path in replacement.ended])
        for file in new:
            self._admit(opened, file)

    def _deletions(
        self, opened: _Open, current: dict[str, FileRow], replacement: Replacement
    ) -> Deletions:
        deletions = Deletions(opened.row, {current[path].id for path in replacement.restored})
        for delete in replacement.deletes:
            deletions.add(current[delete.of].id, self._next_file, delete)
            self._next_file += 1
        return deletions

    def finish(self, author: str, message: str) -> int:
        """Write everything as one snapshot and return its id.

        The newest id if nothing has changed.
        """
        changes = self._changes()
        if not changes:
            return self.snapshot - 1
        self._write_tables()
        for opened in self._tables.values():
            self._write_files(opened)
        new = NewSnapshot(
            self.snapshot, self._time, self._schema_version, self._next_catalog, self._next_file
        )
        new.write(self._tx, changes, author, message)
        return self.snapshot

    def _find(self, name: str) -> _Open | None:
        opened = self._tables.get(name.lower())
        if opened is not None:
            return opened
        row = table_row(self._tx, name, None)
        if row is None:
            return None
        opened = _Open(row, table_of(self._tx, row, self.snapshot - 1))
        earlier = self._files_found.get(name.lower())
        if earlier is not None and earlier.table == row:
            opened.held = earlier.partitions, list(earlier.files)
        return self._tables.setdefault(name.lower(), opened)

    def _opened(self, name: str) -> _Open:
        opened = self._find(name)
        if opened is None:
            raise LakeError(f"the lake has no table `{name}`")
        return opened

    @contextmanager
    def _columns_kept_unless_done(self, opened: _Open) -> Iterator[None]:
        """Undo `evolve_table` if what must come with it is refused."""
        try:
            yield
        except LakeError:
            if opened.before_columns is not None:
                opened.table, statements = opened.before_columns
                del self._ddl[statements:]
                opened.before_columns, opened.retyped, opened.is_altered = None, set(), False
            raise
        if opened.retyped:
            self._forget_bounds(opened)
        opened.before_columns, opened.retyped = None, set()

    def _forget_bounds(self, opened: _Open) -> None:
        """Forget the table's bounds of columns with another type: its new files state them."""
        self._ddl.append(
            (
                _FORGET_BOUNDS,
                [{"table": opened.row.id, "column": each} for each in sorted(opened.retyped)],
            )
        )

    def _replaced(self, opened: _Open, keys: frozenset[str], *, retyped: bool) -> list[FileRow]:
        """Return the files that replacing these partitions ends: all if a column's type changes."""
        if not retyped or opened.is_new:
            return self._holding(opened, keys)
        if opened.view is None:
            opened.view = View(self._tx, opened.row, None)
        return opened.view.all()

    def _holding(self, opened: _Open, keys: frozenset[str]) -> list[FileRow]:
        if opened.is_new:
            return []
        if opened.held is None or opened.held[0] != keys:
            if opened.view is None:
                opened.view = View(self._tx, opened.row, None)
            opened.held = keys, opened.view.holding(keys)
        return opened.held[1]

    def _check_new(self, opened: _Open, staged: Sequence[StagedFile]) -> None:
        names = [file_name(file.path, opened.row.folder) for file in staged]
        if len(set(names)) < len(names):
            raise LakeError(f"a staged file of table `{opened.row.name}` is named twice")
        for file, name in zip(staged, names, strict=True):
            check_staged(opened.table, file)
            known = self._tx.execute(
                "SELECT 1 FROM ducklake_data_file WHERE path = :name OR path = :path",
                {"name": name, "path": file.path},
            ).fetchone()
            if known is not None or name in opened.files:
                raise LakeError(f"the file {file.path} is registered in the lake already")

    def _admit(self, opened: _Open, staged: StagedFile) -> int | None:
        if staged.rows == 0:
            return None
        file_id: int = self._next_file
        self._next_file += 1
        opened.files[file_name(staged.path, opened.row.folder)] = (file_id, staged)
        return file_id

    def _insert_columns(self, table_id: int, columns: Iterable[LakeColumn]) -> None:
        rows = [
            {"table": table_id, **row}
            for column in columns
            for row in rows_of(column, nullable=column.name != PARTITION_COLUMN)
        ]
        self._ddl.append((_NEW_COLUMN, rows))

    def _end_columns(self, table_id: int, columns: Iterable[LakeColumn]) -> None:
        self._ddl.append(
            (
                _END_COLUMN,
                [
                    {"table": table_id, "id": column_id}
                    for column in columns
                    for column_id in ids_of(column)
                ],
            )
        )

    def _changes(self) -> list[str]:
        """Return the tables that this snapshot created, wrote, deleted from and altered.

        DuckLake's conflict check reads them.
        """
        opened = sorted(self._tables.values(), key=lambda item: item.row.id)
        quoted = [
            item.row.name.replace('"', '""') for item in opened if item.is_new or item.is_renamed
        ]
        return (
            [f'created_table:"main"."{name}"' for name in quoted]
            + [f"inserted_into_table:{item.row.id}" for item in opened if item.files]
            + [
                f"deleted_from_table:{item.row.id}"
                for item in opened
                if item.ended or item.deletions
            ]
            + [f"altered_table:{item.row.id}" for item in opened if item.is_altered]
        )

    def _write_tables(self) -> None:
        changed = [
            opened.row.id
            for opened in self._tables.values()
            if opened.is_new or opened.is_altered or opened.is_renamed
        ]
        if not changed:
            return
        self._schema_version += 1
        for sql, rows in self._ddl:
            self._tx.executemany(sql, [{"snapshot": self.snapshot, **row} for row in rows])
        self._tx.executemany(
            "INSERT INTO ducklake_schema_versions VALUES (:snapshot, :version, :table)",
            [
                {"snapshot": self.snapshot, "version": self._schema_version, "table": table_id}
                for table_id in changed
            ],
        )

    def _write_files(self, opened: _Open) -> None:
        for name, ids in (
            ("ducklake_data_file", opened.ended),
            ("ducklake_delete_file", opened.ended_with_deletes),
        ):
            self._tx.executemany(
                f"UPDATE {name} SET end_snapshot = :snapshot WHERE table_id = :table AND"
                " data_file_id = :file AND end_snapshot IS NULL",
                [
                    {"snapshot": self.snapshot, "table": opened.row.id, "file": file_id}
                    for file_id in sorted(ids)
                ],
            )
        if opened.deletions is not None:
            opened.deletions.write(self._tx, self.snapshot)
        if opened.files:
            write_files(self._tx, self.snapshot, opened.row.id, opened.table, opened.files)


def _end(opened: _Open, files: Iterable[FileRow]) -> None:
    """End data files with their positional delete files."""
    for file in files:
        opened.ended.add(file.id)
        if file.ref.deletes:
            opened.ended_with_deletes.add(file.id)


def _check_dropped(staged: StagedFile, keys: frozenset[str]) -> None:
    if any(part.key in keys for part in staged.partitions):
        raise LakeError(f"the rewrite {staged.path} still has rows of a partition that is replaced")


def _check_rewrites(  # complexipy: ignore (reasons to refuse, in order)
    opened: _Open, current: Sequence[FileRow], keys: frozenset[str], rewrites: Sequence[Rewrite]
) -> None:
    """Check that each rewrite replaces a current file and drops all replaced partitions.

    Every file shared with other partitions needs a rewrite.
    """
    paths = {file.ref.path for file in current if file.id not in opened.ended}
    moved = [rewrite.path for rewrite in rewrites if rewrite.path not in paths]
    if moved or len(paths) < len(current):
        which = ", ".join(moved) or "they are replaced in this change"
        raise FileMoved(
            f"files of table `{opened.row.name}` that were to be rewritten aren't current any more:"
            f" {which}"
        )
    rewritten = {rewrite.path for rewrite in rewrites}
    shared = [file.ref for file in current if must_be_rewritten(file, keys)]
    missing = [ref for ref in shared if ref.path not in rewritten]
    if missing:
        raise NeedsRewrite(opened.row.name, missing)
    for rewrite in rewrites:
        if rewrite.staged is not None:
            _check_dropped(rewrite.staged, keys)
