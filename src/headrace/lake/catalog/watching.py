"""The data files that readers see now, for who looks whether they are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from headrace.lake.catalog.reading import FileRow, View, table_row
from headrace.lake.catalog.transaction import Transaction

_CURRENT = (
    "SELECT f.data_file_id, t.table_name, s.path, t.path, t.path_is_relative, f.path, f.path_is_relative, f.file_size_bytes, f.footer_size "
    "FROM ducklake_data_file f JOIN ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL "
    "JOIN ducklake_schema s ON s.schema_id = t.schema_id WHERE f.end_snapshot IS NULL AND f.path NOT LIKE '%://%'"
)
"""Without what another writer registered by a URL: nobody can look at that here."""

AT_ONCE = 500
"""So many files are asked for by one query."""


class CurrentFile(NamedTuple):
    """A data file of the newest snapshot. `path` is relative to the data folder, or absolute where a foreign writer registered it so."""

    id: int
    table: str
    path: str
    size_bytes: int
    footer_bytes: int


def current_after(tx: Transaction, after: int, limit: int) -> list[CurrentFile]:
    """The files whose ids follow one, in order."""
    rows = tx.execute(f"{_CURRENT} AND f.data_file_id > :after ORDER BY f.data_file_id LIMIT :limit", {"after": after, "limit": limit})
    return _files(rows.fetchall())


def current(tx: Transaction, ids: Iterable[int]) -> list[CurrentFile]:
    """Those of some files that are of the newest snapshot, in the order of their ids."""
    found: list[CurrentFile] = []
    left = sorted(ids)
    while left:
        chunk, left = left[:AT_ONCE], left[AT_ONCE:]
        wanted = {f"id{n}": one for n, one in enumerate(chunk)}
        among = f"f.data_file_id IN ({', '.join(f':{name}' for name in wanted)})"
        rows = tx.execute(f"{_CURRENT} AND {among} ORDER BY f.data_file_id", wanted)
        found += _files(rows.fetchall())
    return found


def count_current(tx: Transaction) -> int:
    """How many data files the newest snapshot has."""
    return int(tx.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL").fetchone()[0])


def count_elsewhere(tx: Transaction) -> int:
    """How many of them another writer registered by a URL."""
    return int(tx.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL AND path LIKE '%://%'").fetchone()[0])


def ids_holding(tx: Transaction, name: str, keys: Sequence[str]) -> list[int]:
    """The current files of a table that hold, or may hold, some partitions; none of a table that there isn't."""
    row = table_row(tx, name, None)
    return [] if row is None else [file.id for file in View(tx, row, None).holding(keys)]


def files_of(tx: Transaction, name: str) -> list[FileRow]:
    """The current files of a table with what is known of their partitions; none of a table that there isn't."""
    row = table_row(tx, name, None)
    return [] if row is None else View(tx, row, None).all()


def _files(rows: Sequence[Sequence[Any]]) -> list[CurrentFile]:
    found = []
    for number, table, schema, folder, in_schema, path, in_folder, size, footer in rows:
        whole = f"{schema if in_schema else ''}{folder}{path}" if in_folder else path
        found.append(CurrentFile(number, table, whole, size, footer or 0))
    return found
