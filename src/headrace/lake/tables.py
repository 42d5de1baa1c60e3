"""Tables, columns, files and merges of the lake, as values that travel between workers and the leader."""

from __future__ import annotations

import enum
import hashlib
import re
import uuid
from collections.abc import Mapping

import msgspec

from headrace.model.errors import LakeError

PARTITION_COLUMN = "_partition"
"""The system column of every lake table, always the first, with column id 1."""


class LakeColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column of a lake table: `type` is DuckDB's name for it, `id` the catalog's column id, which files carry as field id."""

    name: str
    type: str
    id: int
    field_ids: tuple[int, ...] = ()
    """Ids of the fields inside a STRUCT, LIST or MAP, depth first, where they aren't simply the numbers after `id`
    (a foreign writer changed the type in place)."""
    default: str | None = None
    """What rows written before the column was added have, as text, where a foreign writer gave the column a default."""


class LakeTable(msgspec.Struct, frozen=True):
    """A lake table as the catalog has it, or as a worker proposes it. `columns[0]` is `_partition`."""

    name: str
    columns: tuple[LakeColumn, ...]
    next_id: int = 0
    """The first column id that the table has never used; 0 (a table that is only proposed): the one after the columns'."""
    folder: str = ""
    """Where its files lie, relative to the data folder, with `/` at the end; empty (a table that is only proposed): by its name.
    A table that was renamed keeps its folder."""


class ColumnLookup(enum.StrEnum):
    """How a file's columns are found."""

    SAME = "same"
    """The file has exactly the table's columns: it was written after they last changed. Costs least."""
    ID = "id"
    """By field id: the file may be older than the table's columns."""
    NAME = "name"
    """By name: a foreign writer registered a file that carries no field ids."""


class DeleteRef(msgspec.Struct, frozen=True):
    """A foreign writer's positional delete file: `path` as of a file, and (time travel) the last snapshot whose deletions count."""

    path: str
    snapshot_max: int | None = None


class FileRef(msgspec.Struct, frozen=True):
    """A published (or staged) file to read: `path` relative to the lake's data folder. `partitions` are the keys
    to keep where the file holds others as well; None means all rows."""

    path: str
    partitions: tuple[str, ...] | None = None
    deletes: tuple[DeleteRef, ...] = ()
    """A foreign writer's deletions, to be applied."""
    snapshot_max: int | None = None
    """Of a file that DuckLake merged from several snapshots: only rows written up to this snapshot."""
    lookup: ColumnLookup = ColumnLookup.ID


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
    """By column name; of columns without parts."""
    partitions: tuple[StagedPartition, ...]
    nested: dict[int, ColumnStatistics] = {}
    """Of the fields inside STRUCT, LIST and MAP columns, by their column id."""
    columns: tuple[LakeColumn, ...] = ()
    """The table's columns as the file was written for them: at publication they must still be the table's."""
    footer_hash: str = ""
    """SHA-256 of the Parquet footer, in hex."""

    def hashed(self, content_hash: str | None) -> StagedFile:
        """The file with the content hash of its one partition, where that was taken later than the file was written."""
        if content_hash is None or len(self.partitions) != 1:
            return self
        (only,) = self.partitions
        return self.hashed_each({only.key: content_hash})

    def hashed_each(self, hashes: Mapping[str, str]) -> StagedFile:
        """The file with the content hashes of its partitions, as far as they were taken later than it was written."""
        if not hashes:
            return self
        known = (
            msgspec.structs.replace(partition, content_hash=hashes.get(partition.key, partition.content_hash))
            for partition in self.partitions
        )
        return msgspec.structs.replace(self, partitions=tuple(known))


class StagedDeletes(msgspec.Struct, frozen=True):
    """A positional delete file that a worker wrote: all rows of the data file at `of` that don't count any more."""

    of: str
    path: str
    rows: int
    size_bytes: int
    footer_bytes: int
    footer_hash: str


class StateFile(msgspec.Struct, frozen=True):
    """A file of the table that a merge starts from, as `catalog.state` lists it. `rows` are those in the file, `deleted` those
    of them that don't count; `kept` says that the newest snapshot still names it, so that it can stay."""

    ref: FileRef
    rows: int
    deleted: int
    kept: bool


class Replacement(msgspec.Struct, frozen=True):
    """What a merge does to the files that are there, besides adding its own. Paths are relative to the data folder."""

    seen: tuple[tuple[str, tuple[str, ...]], ...]
    """The current files with their delete files, as the merge found them: if they are others at publication, it is done again."""
    ended: tuple[str, ...]
    deletes: tuple[StagedDeletes, ...]
    """Each takes the place of whatever deletions its file has now."""
    restored: tuple[str, ...]
    """Files of which all rows count again: their deletions end."""
    rows: int
    """Of the whole table afterwards."""
    content_hash: str
    changed: bool
    """False where the table stays as it is."""


# Where a table's files are, below the lake's data folder. A name or a key from outside never
# becomes part of a path as it is.

SCHEMA_FOLDER = "main/"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.parquet")
LOST = "lost-"
_LOST = re.compile(rf"{LOST}([A-Za-z0-9._-]+)-[0-9a-f]{{8}}\.parquet")


def folder_of(table_name: str) -> str:
    """The table's folder below `main/`, with `/` at the end: its name where that is plain, else a digest of it."""
    if _PLAIN.fullmatch(table_name):
        return f"{table_name}/"
    return f"t-{hashlib.sha256(table_name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}/"


def new_path(table: LakeTable) -> str:
    """A path for a file to be staged, relative to the data folder; nothing is there yet."""
    return f"{_of(table)}{uuid.uuid4()}.parquet"


def file_name(path: str, folder: str) -> str:
    """The file's name if `path` lies directly in `folder` (relative to the data folder, `/` at the end). Raises `LakeError`
    if it lies elsewhere or has a name that no staging gives."""
    name = path.removeprefix(folder)
    if name == path or not _FILE.fullmatch(name):
        raise LakeError(f"the staged file {path!r} doesn't lie in its table's folder {folder}")
    return name


def lost_path(path: str) -> str:
    """The name under which rows are registered that were lost with the file at `path`; no file is ever there."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{LOST}{lost_with(name) or name.removesuffix('.parquet')}-{uuid.uuid4().hex[:8]}.parquet"


def lost_with(name: str) -> str | None:
    """The name, without its ending, of the file with which rows were lost that are registered under `name`; None where they
    aren't lost."""
    match = _LOST.fullmatch(name)
    return match[1] if match else None


def new_deletes_path(table: LakeTable) -> str:
    """A path for a positional delete file to be staged, beside the table's data files."""
    return f"{_of(table)}{uuid.uuid4()}-delete.parquet"


def _of(table: LakeTable) -> str:
    return table.folder or f"{SCHEMA_FOLDER}{folder_of(table.name)}"


# What a merge is given: how changes meet the table, and what it starts from.


class KeyRefused(LakeError):
    """Changes that don't say which row is meant: a key that is null, or there twice."""

    code = "merge_key"


class Deletes(enum.StrEnum):
    """What a row means that the changes don't have any more."""

    IGNORE = "ignore"
    CLOSE = "close"


class SnapshotRule(msgspec.Struct, frozen=True):
    """`materialize: snapshot`: a changed row closes the version before it. `at` is the text of the instant (or, with `is_date`,
    of the date) that versions of this publication are valid from."""

    at: str
    is_date: bool
    columns: tuple[str, ...] = ()
    """Whose change makes a version; all but the keys if there are none."""
    deletes: Deletes = Deletes.IGNORE

    @property
    def type(self) -> str:
        """DuckDB's name for the type of `valid_from` and `valid_to`."""
        return "DATE" if self.is_date else "TIMESTAMP WITH TIME ZONE"


class MergeRule(msgspec.Struct, frozen=True):
    """How the changes meet the table. `delete` is the body's column that says that a row goes."""

    keys: tuple[str, ...]
    delete: str | None = None
    versions: SnapshotRule | None = None
    drop_same: bool = False
    """Leave rows alone that the changes only repeat: worth a look at them where the whole is delivered again and again."""


class MergeState(msgspec.Struct, frozen=True):
    """What a merge starts from: the files as they were after the publication before, what is current now, and the hash of the former."""

    files: tuple[StateFile, ...]
    seen: tuple[tuple[str, tuple[str, ...]], ...]
    content_hash: str = ""
