"""The data files that readers see now, for who looks whether they are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from headrace.lake.catalog.reading import FileRow, View, table_row
from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.model.commands import WHOLE

_CURRENT = (
    "SELECT f.{id}, t.table_name, s.path, t.path, t.path_is_relative, f.path, f.path_is_relative, f.file_size_bytes, f.footer_size, "
    "f.begin_snapshot, f.data_file_id "
    "FROM {kind} f JOIN ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL "
    "JOIN ducklake_schema s ON s.schema_id = t.schema_id WHERE f.end_snapshot IS NULL AND f.path NOT LIKE '%://%'"
)
"""Without what another writer registered by a URL: nobody can look at that here."""
_KINDS = (("ducklake_data_file", "data_file_id"), ("ducklake_delete_file", "delete_file_id"))
"""Each kind of file with its id. Both take their ids from one sequence."""

AT_ONCE = 500
"""So many files are asked for by one query."""


class CurrentFile(NamedTuple):
    """A data file or a positional delete file of the newest snapshot. `path` is relative to the data folder, or absolute where a foreign
    writer registered it so. `begins` is the first snapshot that has it, `of` the data file whose rows it has or deletes."""

    id: int
    table: str
    path: str
    size_bytes: int
    footer_bytes: int
    begins: int = 0
    of: int = -1


def current_after(tx: CatalogTransaction, after: int, limit: int) -> list[CurrentFile]:
    """The files whose ids follow one, in order."""
    files: list[CurrentFile] = []
    for kind, number in _KINDS:
        sql = f"{_CURRENT.format(kind=kind, id=number)} AND f.{number} > :after ORDER BY f.{number} LIMIT :limit"
        files += _files(tx.execute(sql, {"after": after, "limit": limit}).fetchall())
    return sorted(files, key=lambda file: file.id)[:limit]


def current(tx: CatalogTransaction, ids: Iterable[int]) -> list[CurrentFile]:
    """Those of some files that are of the newest snapshot, in the order of their ids."""
    files: list[CurrentFile] = []
    left = sorted(ids)
    while left:
        chunk, left = left[:AT_ONCE], left[AT_ONCE:]
        wanted = {f"id{n}": item for n, item in enumerate(chunk)}
        among = ", ".join(f":{name}" for name in wanted)
        for kind, number in _KINDS:
            sql = f"{_CURRENT.format(kind=kind, id=number)} AND f.{number} IN ({among})"
            files += _files(tx.execute(sql, wanted).fetchall())
    return sorted(files, key=lambda file: file.id)


def current_deletes(tx: CatalogTransaction) -> list[CurrentFile]:
    """The positional delete files of the newest snapshot."""
    kind, number = _KINDS[1]
    return _files(tx.execute(f"{_CURRENT.format(kind=kind, id=number)} ORDER BY f.{number}").fetchall())


def count_current(tx: CatalogTransaction) -> int:
    """How many data files the newest snapshot has."""
    return int(tx.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL").fetchone()[0])


def count_elsewhere(tx: CatalogTransaction) -> int:
    """How many of them another writer registered by a URL."""
    return int(tx.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL AND path LIKE '%://%'").fetchone()[0])


def ids_holding(tx: CatalogTransaction, name: str, keys: Sequence[str]) -> list[int]:
    """The current files of a table that hold, or may hold, some partitions, with their delete files; all of a merged one; none of a
    table that there isn't."""
    row = table_row(tx, name, None)
    if row is None:
        return []
    holding = [file.id for file in View(tx, row, None).holding([*keys, WHOLE])]
    sql = "SELECT data_file_id, delete_file_id FROM ducklake_delete_file WHERE table_id = :table AND end_snapshot IS NULL"
    deletes = dict(tx.execute(sql, {"table": row.id}).fetchall())
    return [*holding, *(deletes[item] for item in holding if item in deletes)]


def files_of(tx: CatalogTransaction, name: str) -> list[FileRow]:
    """The current files of a table with what is known of their partitions; none of a table that there isn't."""
    row = table_row(tx, name, None)
    return [] if row is None else View(tx, row, None).all()


def _files(rows: Sequence[Sequence[Any]]) -> list[CurrentFile]:
    files = []
    for number, name, schema, folder, in_schema, path, in_folder, size, footer, begins, of in rows:
        whole = f"{schema if in_schema else ''}{folder}{path}" if in_folder else path
        files.append(CurrentFile(number, name, whole, size, footer or 0, begins, of))
    return files
