"""Tables, columns, files and merges of the lake, as values sent between workers and the leader."""

from __future__ import annotations

import enum
import hashlib
import re
import uuid
from collections.abc import Mapping

import msgspec

from headrace.model.errors import LakeError

PARTITION_COLUMN = "_partition"
"""The system column of every lake table: always the first, with column id 1."""


STATE_SCHEMA = "headrace"
"""The schema of the state's tables in a query."""


class LakeColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column of a lake table.

    `type` is DuckDB's name; `id` is the catalog's column id, which files carry as field id.
    """

    name: str
    type: str
    id: int
    field_ids: tuple[int, ...] = ()
    """Ids of the fields inside a STRUCT, LIST or MAP, depth first.

    Empty if they are the numbers after `id`; they aren't if a foreign writer changed the type in
    place.
    """
    default: str | None = None
    """The value, as text, in rows older than the column, if a foreign writer set a default."""


class LakeTable(msgspec.Struct, frozen=True):
    """A lake table as stored in the catalog or proposed by a worker.

    `columns[0]` is `_partition`.
    """

    name: str
    columns: tuple[LakeColumn, ...]
    next_id: int = 0
    """The first column id that the table never used; 0 for a proposed table, which numbers on."""
    folder: str = ""
    """Folder of its files, relative to the data folder, with `/` at the end.

    Empty for a proposed table, whose folder follows from its name. A renamed table keeps its
    folder.
    """
    changed_from: tuple[LakeColumn, ...] = ()
    """Of a proposed change: the columns that the table had. Empty for a table as it is, or new."""

    @property
    def retyped(self) -> bool:
        """Whether the proposed change gives a column another type, so that files are rewritten."""
        was = {column.id: column.type for column in self.changed_from}
        return any(was.get(column.id, column.type) != column.type for column in self.columns)


def reshaped(table: LakeTable, proposed: LakeTable | None) -> LakeTable:
    """Return a proposed change of a table; the table itself if it has these columns by now."""
    return table if proposed is None or proposed.columns == table.columns else proposed


class ColumnLookup(enum.StrEnum):
    """How a file's columns are matched with the table's."""

    SAME = "same"
    """The file has exactly the table's columns, as it was written after their last change.

    Cheapest.
    """
    ID = "id"
    """By field id: the file may be older than the table's columns, and has their types."""
    CAST = "cast"
    """By field id, and the file's types may be others: values are cast before a query sees them.

    DuckDB 1.5.5 pushes a filter into the file with its constant cast to the file's type, so that
    `> 4.9` over a file of integers finds 5 missing (duckdb#24900, mended in 2.0.1).
    """
    NAME = "name"
    """By name: a foreign writer registered a file without field ids."""


class DeleteRef(msgspec.Struct, frozen=True):
    """A foreign writer's positional delete file.

    `path` is like a `FileRef`'s; deletions after `snapshot_max` are ignored (time travel).
    """

    path: str
    snapshot_max: int | None = None


class FileRef(msgspec.Struct, frozen=True):
    """A published or staged file to read.

    `path` is relative to the lake's data folder. `partitions` are the keys to read if the file
    holds others as well; None means all rows.
    """

    path: str
    partitions: tuple[str, ...] | None = None
    deletes: tuple[DeleteRef, ...] = ()
    """A foreign writer's deletions to apply."""
    snapshot_max: int | None = None
    """Last snapshot whose rows count, in a file that DuckLake merged from several snapshots."""
    lookup: ColumnLookup = ColumnLookup.ID


def as_other_columns(file: FileRef) -> FileRef:
    """Return a file to be read with other columns than those that it was found for."""
    if file.lookup is ColumnLookup.NAME:
        return file
    return msgspec.structs.replace(file, lookup=ColumnLookup.CAST)


class ColumnStatistics(msgspec.Struct, frozen=True):
    """The catalog's statistics of one column in one file.

    Bounds are text as DuckDB returns them.
    """

    size_bytes: int
    values: int
    """Number of non-null values."""
    nulls: int
    minimum: str | None = None
    maximum: str | None = None
    contains_nan: bool | None = None


class StagedPartition(msgspec.Struct, frozen=True):
    """One partition inside a staged file.

    `content_hash` doesn't depend on the order of rows; None if it wasn't computed (large files are
    hashed when a comparison needs it).
    """

    key: str
    rows: int
    content_hash: str | None = None


class StagedFile(msgspec.Struct, frozen=True):
    """A Parquet file that a worker wrote into the table's folder, still without any snapshot."""

    path: str
    rows: int
    size_bytes: int
    footer_bytes: int
    statistics: dict[str, ColumnStatistics]
    """Statistics by column name, for columns without fields."""
    partitions: tuple[StagedPartition, ...]
    nested: dict[int, ColumnStatistics] = {}
    """Statistics of the fields inside STRUCT, LIST and MAP columns, by column id."""
    columns: tuple[LakeColumn, ...] = ()
    """The table's columns when the file was written.

    Publication requires that they are unchanged.
    """
    footer_hash: str = ""
    """SHA-256 in hex of the file's end: the Parquet footer, its length and the magic."""

    def hashed(self, content_hash: str | None) -> StagedFile:
        """Return the file with the content hash of its only partition, computed after writing."""
        if content_hash is None or len(self.partitions) != 1:
            return self
        (only,) = self.partitions
        return self.hashed_each({only.key: content_hash})

    def hashed_each(self, hashes: Mapping[str, str]) -> StagedFile:
        """Return the file with content hashes, by partition, that were computed after writing."""
        if not hashes:
            return self
        known = (
            msgspec.structs.replace(
                partition, content_hash=hashes.get(partition.key, partition.content_hash)
            )
            for partition in self.partitions
        )
        return msgspec.structs.replace(self, partitions=tuple(known))


class StagedDeletes(msgspec.Struct, frozen=True):
    """A positional delete file that a worker wrote: all deleted rows of the data file at `of`."""

    of: str
    path: str
    rows: int
    size_bytes: int
    footer_bytes: int
    footer_hash: str


class StateFile(msgspec.Struct, frozen=True):
    """A file of the table that a merge starts from, as the catalog lists it.

    `rows` counts all rows in the file, `deleted` the deleted ones. `kept` means that the newest
    snapshot still lists the file, so that it can stay.
    """

    ref: FileRef
    rows: int
    deleted: int
    kept: bool


class Replacement(msgspec.Struct, frozen=True):
    """The changes of a merge to existing files; the merge also adds a new file.

    Paths are relative to the data folder.
    """

    seen: tuple[tuple[str, tuple[str, ...]], ...]
    """The current files with their delete files, as the merge read them.

    If they differ at publication, the merge runs again.
    """
    ended: tuple[str, ...]
    deletes: tuple[StagedDeletes, ...]
    """Each replaces all current deletions of its data file."""
    restored: tuple[str, ...]
    """Files whose deletions end, so that all of their rows count again."""
    rows: int
    """Number of rows in the whole table afterwards."""
    content_hash: str
    changed: bool
    """False if the merge leaves the table as it is."""


# Paths of a table's files below the lake's data folder. Names and keys from outside never become
# part of a path unchecked.

SCHEMA_FOLDER = "main/"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.parquet")
LOST = "lost-"
_LOST = re.compile(rf"{LOST}([A-Za-z0-9._-]+)-[0-9a-f]{{8}}\.parquet")


def folder_of(table_name: str) -> str:
    """Return the table's folder below `main/`, with `/` at the end.

    It is the name if that is plain, else a hash of it.
    """
    if _PLAIN.fullmatch(table_name):
        return f"{table_name}/"
    return f"t-{hashlib.sha256(table_name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}/"


def new_path(table: LakeTable) -> str:
    """Return a new path for a staged file, relative to the data folder.

    Nothing exists there yet.
    """
    return f"{_of(table)}{uuid.uuid4()}.parquet"


_SEALED = re.compile(r"[0-9a-f-]{36}(?:-delete)?-([0-9a-f]{32})\.parquet")


def sealed_name(name: str, digest: str) -> str:
    """Return the name of a complete file, which ends with half of the SHA-256 of its bytes."""
    return f"{name.removesuffix('.parquet')}-{digest[:32]}.parquet"


def digest_in(name: str) -> str | None:
    """Return the part of the SHA-256 that a name has from `sealed_name`; None for any other."""
    match = _SEALED.fullmatch(name)
    return match[1] if match else None


def file_name(path: str, folder: str) -> str:
    """Return the file's name if `path` lies directly in `folder`.

    `folder` is relative to the data folder, with `/` at the end. Raises LakeError for a file
    elsewhere or a name that staging never creates.
    """
    name = path.removeprefix(folder)
    if name == path or not _FILE.fullmatch(name):
        raise LakeError(f"the staged file {path!r} doesn't lie in its table's folder {folder}")
    return name


def lost_path(path: str) -> str:
    """Return the path under which the rows lost with the file at `path` are registered.

    No file ever exists there.
    """
    folder, _, name = path.rpartition("/")
    stem = lost_with(name) or name.removesuffix(".parquet")
    return f"{folder}/{LOST}{stem}-{uuid.uuid4().hex[:8]}.parquet"


def lost_with(name: str) -> str | None:
    """Return the name, without its ending, of the lost file behind a path from `lost_path`.

    None for any other name.
    """
    match = _LOST.fullmatch(name)
    return match[1] if match else None


def new_deletes_path(table: LakeTable) -> str:
    """Return a path for a staged positional delete file, in the table's folder."""
    return f"{_of(table)}{uuid.uuid4()}-delete.parquet"


STAGED_BELOW = ""
"""The folder below a table's in which this process stages files, with `/` at its end."""


def _of(table: LakeTable) -> str:
    return f"{table.folder or f'{SCHEMA_FOLDER}{folder_of(table.name)}'}{STAGED_BELOW}"


# The inputs of a merge: the rule for applying changes, and the state that it starts from.


class KeyRefused(LakeError):
    """Changes with an ambiguous row: a key that is null or occurs twice."""

    code = "merge_key"


class Deletes(enum.StrEnum):
    """The meaning of a row's absence from the changes."""

    IGNORE = "ignore"
    CLOSE = "close"


class SnapshotRule(msgspec.Struct, frozen=True):
    """`materialize: snapshot`: a changed row closes its previous version.

    `at` is the instant (or, with `is_date`, the date) as text from which this publication's
    versions are valid.
    """

    at: str
    is_date: bool
    columns: tuple[str, ...] = ()
    """Columns whose change creates a version; all but the keys if empty."""
    deletes: Deletes = Deletes.IGNORE

    @property
    def type(self) -> str:
        """DuckDB's type of `valid_from` and `valid_to`."""
        return "DATE" if self.is_date else "TIMESTAMP WITH TIME ZONE"


class MergeRule(msgspec.Struct, frozen=True):
    """How changes are applied to the table.

    `delete` is the column of the asset's query that marks a row as deleted.
    """

    keys: tuple[str, ...]
    delete: str | None = None
    versions: SnapshotRule | None = None
    drop_same: bool = False
    """Ignore rows that repeat the table's values.

    That pays off for sources that deliver all of their rows each time.
    """


class MergeState(msgspec.Struct, frozen=True):
    """The state that a merge starts from.

    `files` are those after the previous publication, `seen` the current ones; `content_hash`
    belongs to `files`.
    """

    files: tuple[StateFile, ...]
    seen: tuple[tuple[str, tuple[str, ...]], ...]
    content_hash: str = ""
