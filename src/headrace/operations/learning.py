"""What files that a project is started from hold: columns, types, and which column could tell rows apart."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.lake.sqltext import quote
from headrace.model import UsageError
from headrace.operations.derive import FileGroup, InferredColumns

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

SAMPLES_MAX = 10
"""So many further files of a group are looked at for types that the first one leaves open."""
ROWS_MAX = 1_000_000
COLUMNS_MAX = 20
"""Columns that are looked at as a possible key."""


def learn(group: FileGroup) -> InferredColumns:
    """Reads the group's first file, as a delivery would be. UsageError where it can't be read as data."""
    from headrace.connect.ingest import PreparedDelivery, prepare  # duckdb: only this command pays for it, and it opens no state
    from headrace.lake.session import DuckDBSession

    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        files = _linked(group, Path(folder))
        data, temporary = Path(folder, "lake"), Path(folder, "unpacked")
        for made in (data, temporary):
            made.mkdir()
        readable = [temporary, Path(folder), *(path.resolve() for path in group.files.values())]
        with DuckDBSession(data, readable=readable) as session:
            first, *others = files
            delivery = prepare(
                first[0], first[1], connection=session.connection, temporary=temporary, pinned=None, samples=others[:SAMPLES_MAX]
            )
            if not isinstance(delivery, PreparedDelivery):
                said = getattr(delivery, "reason", "") or getattr(delivery, "detail", "")
                line = getattr(delivery, "line", None)
                where = f"{next(iter(group.files.values()))}{f':{line}' if line else ''}"
                raise UsageError(
                    f"{where} can't be read as data: {said}", hint="name CSV, JSON lines or Parquet files, with a header in CSV"
                )
            try:
                columns = tuple((column.name, column.type) for column in delivery.schema.columns)
                return InferredColumns(columns, *_keys(session, delivery.select_sql, [name for name, _ in columns]))
            finally:
                delivery.discard()


def _linked(group: FileGroup, folder: Path) -> list[tuple[Path, str]]:
    """The files under names that mean nothing to DuckDB, with the names that they have."""
    results = []
    for number, (landed, path) in enumerate(group.files.items()):
        link = folder / f"file{number}"
        link.symlink_to(path.resolve())
        results.append((link, landed))
    return results


def _keys(session: DuckDBSession, select_sql: str, names: list[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Columns without nulls, and of those the ones whose values are all different."""
    import duckdb

    candidates = [name for i, name in enumerate(names) if i == 0 or name.lower().endswith("id")][:COLUMNS_MAX]
    facts = ", ".join(f"count({quote(name)}), count(DISTINCT {quote(name)})" for name in candidates)
    if not candidates:
        return frozenset(), frozenset()
    try:
        row = session.connection.execute(f"SELECT count(*), {facts} FROM (SELECT * FROM ({select_sql}) LIMIT {ROWS_MAX})").fetchone()
    except duckdb.Error:
        return frozenset(), frozenset()
    assert row is not None
    rows, counts = row[0], row[1:]
    filled = {name for i, name in enumerate(candidates) if rows and counts[2 * i] == rows}
    return frozenset(filled), frozenset(name for i, name in enumerate(candidates) if name in filled and counts[2 * i + 1] == rows)
