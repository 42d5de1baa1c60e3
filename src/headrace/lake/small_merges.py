"""Write small files of a table as one file, whose rows keep their numbers and snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.lake.catalog import MergeSource
from headrace.lake.files import DataCorrupted, check_file, file_written
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import AS_WRITTEN, ROW_ID, SNAPSHOT, literal, quote
from headrace.lake.staging import (
    KeyExpression,
    copied,
    described_file,
)
from headrace.lake.tables import PARTITION_COLUMN, LakeTable, StagedFile, new_path


def check_sources(
    data_folder: Path, sources: Sequence[MergeSource], footers: Mapping[int, str]
) -> None:
    """Check that the files are the published ones, as the lake's regular checks do.

    Otherwise a merge would make damage permanent: its file has no earlier state to be compared
    with. `footers` are the hashes of their footers from earlier checks, by the file's id. Raises
    DataCorrupted for the first file that isn't.
    """
    for source in sources:
        path = data_folder / source.path
        known = footers.get(source.id, "")
        wrong = check_file(path, source.size_bytes, source.footer_bytes, known).wrong
        if wrong:
            raise DataCorrupted(f"the file {source.path} {wrong}")


def stage_merged(
    session: DuckDBSession, sources: Sequence[MergeSource], table: LakeTable
) -> StagedFile:
    """Write the rows of the files, which have exactly the table's columns, as one file.

    Rows are sorted by partition, and keep their order in it. Two more columns, which DuckLake's
    readers know, have the number of each row and the snapshot since which it is visible. Raises
    DuckDB's errors for unreadable files; the new file is deleted then.
    """
    path = new_path(table)
    target = session.data_folder / path
    rows = " UNION ALL ".join(_rows(session, source, table) for source in sources)
    columns = (*table.columns, ROW_ID, SNAPSHOT)
    order = f" ORDER BY {quote(PARTITION_COLUMN)}, {quote(ROW_ID.name)}"
    try:
        written = copied(
            session, f"SELECT * FROM ({rows}) AS files", None, table, target, columns, order
        )
        file_written()
        key = KeyExpression(quote(PARTITION_COLUMN))
        return described_file(session, path, written, table, key, hashed=False)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _rows(session: DuckDBSession, source: MergeSource, table: LakeTable) -> str:
    columns = ", ".join(quote(column.name) for column in table.columns)
    path = literal(str(session.data_folder / source.path))
    if source.first_row is None:
        return (
            f"SELECT {columns}, {quote(ROW_ID.name)}, {quote(SNAPSHOT.name)} FROM"
            f" read_parquet({path}, {AS_WRITTEN})"
        )
    return (
        f"SELECT {columns}, CAST({int(source.first_row)} + file_row_number AS BIGINT) AS"
        f" {quote(ROW_ID.name)}, CAST({int(source.begins)} AS BIGINT) AS {quote(SNAPSHOT.name)}"
        f" FROM read_parquet({path}, {AS_WRITTEN}, file_row_number = true)"
    )
