"""Search the lake's files for the rows of a subject, and write the files without them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.lake.erased_files import (
    ErasableDeletes,
    ErasableFile,
    ErasedFile,
    ErasureScan,
    StagedPositions,
    matches_sql,
    recognised,
    texts_sql,
)
from headrace.lake.files import file_written, seal, sync
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import AS_WRITTEN, ROW_ID, SNAPSHOT, literal, quote
from headrace.lake.staging import KeyExpression, copied, described_file
from headrace.lake.tables import (
    PARTITION_COLUMN,
    LakeColumn,
    LakeTable,
    new_deletes_path,
    new_path,
)
from headrace.model.errors import LakeError, first_line


def scan(request: ErasureScan) -> tuple[ErasedFile, ...]:
    """Return the files with rows of the subject, rewritten and synced if the request says so.

    Raises LakeError for a file that can't be read or rewritten, and leaves no new file then.
    """
    import duckdb

    lake = Path(request.lake)
    results: list[ErasedFile] = []
    with DuckDBSession(lake, ordered=True) as session:
        work = _TableScan(session, request)
        try:
            results += [
                erased for file in request.files if (erased := work.erased(file)) is not None
            ]
        except (duckdb.Error, OSError, LakeError) as error:
            work.discard()
            raise LakeError(
                f"a file of `{request.table.name}` can't be searched: {first_line(error)}",
                hint="headrace db check",
            ) from error
    if work.written:
        sync([lake / path for path in work.written])
    return tuple(results)


def _condition(request: ErasureScan, names: Iterable[str]) -> str | None:
    """Return the condition for the rows to erase in a file; None if it has no column for it."""
    if request.before is not None:
        return f"({quote(PARTITION_COLUMN)} < {literal(request.before)})"
    if request.partitions:
        listed = ", ".join(literal(key) for key in request.partitions)
        return f"({quote(PARTITION_COLUMN)} IN ({listed}))"
    rows = recognised(request.erased, names)
    return matches_sql(rows, request.key) if rows and request.key is not None else None


class _TableScan:
    def __init__(self, session: DuckDBSession, request: ErasureScan) -> None:
        self._session, self._request = session, request
        self._condition = ""
        self.written: list[str] = []

    def discard(self) -> None:
        """Delete the new files."""
        for path in self.written:
            (self._session.data_folder / path).unlink(missing_ok=True)

    def erased(self, file: ErasableFile) -> ErasedFile | None:
        """Return the file's rows of the subject, and the file without them; None without any."""
        names = self._names(file.path)
        condition = _condition(self._request, names)
        if condition is None:
            return None  # from before the column was in the table
        self._condition = condition
        matched = self._count(file, "")
        if not matched:
            return None
        visible = self._count(file, self._not_deleted(file)) if file.current else {}
        if not self._request.rewrite:
            return ErasedFile(file.id, matched, visible, texts=self._texts(file.path))
        return self._rewritten(file, names, ErasedFile(file.id, matched, visible))

    def _names(self, path: str) -> list[str]:
        rows = self._run(f"DESCRIBE SELECT * FROM {self._source(path)}")
        return [row[0] for row in rows]

    def _count(self, file: ErasableFile, besides: str) -> dict[str, int]:
        rows = self._run(
            f"SELECT {quote(PARTITION_COLUMN)}, count(*) FROM"
            f" {self._source(file.path, numbered=True)} WHERE {self._condition}{besides} GROUP BY 1"
        )
        return {row[0]: row[1] for row in rows}

    def _texts(self, path: str) -> tuple[str, ...]:
        if not self._request.erased:
            return ()
        return tuple(row[0] for row in self._run(texts_sql(self._source(path), self._condition)))

    def _not_deleted(self, file: ErasableFile) -> str:
        return "".join(
            f" AND file_row_number NOT IN (SELECT pos FROM {self._source(item.path)})"
            for item in file.deletes
            if item.current
        )

    def _rewritten(self, file: ErasableFile, names: list[str], erased: ErasedFile) -> ErasedFile:
        columns = tuple(column for column in file.columns if column.name in names)
        unknown = set(names) - {column.name for column in columns} - {ROW_ID.name, SNAPSHOT.name}
        if unknown:
            raise LakeError(f"{file.path} has columns that its table doesn't have: {min(unknown)}")
        table = msgspec.structs.replace(self._request.table, columns=columns)
        path = new_path(table)
        self.written.append(path)
        target = self._session.data_folder / path
        written = copied(
            self._session,
            f"SELECT * FROM ({self._rest(file, columns)}) AS rest",
            None,
            table,
            target,
            (*columns, ROW_ID, SNAPSHOT),
            f" ORDER BY {quote(ROW_ID.name)}",
        )
        file_written()
        if written[0] == 0:
            target.unlink()
            self.written.remove(path)
            return erased
        key = KeyExpression(quote(PARTITION_COLUMN))
        staged = described_file(self._session, path, written, table, key, hashed=True)
        self.written[-1] = staged.path
        deletes = tuple(self._moved(file, item, staged.path, table) for item in file.deletes)
        return msgspec.structs.replace(erased, staged=staged, deletes=deletes)

    def _rest(self, file: ErasableFile, columns: Sequence[LakeColumn]) -> str:
        """Return a query of the rows that stay, with the number and the snapshot of each."""
        selected = ", ".join(quote(column.name) for column in columns)
        source = f"{self._source(file.path, numbered=True)} WHERE NOT {self._condition}"
        if file.first_row is None:
            return f"SELECT {selected}, {quote(ROW_ID.name)}, {quote(SNAPSHOT.name)} FROM {source}"
        return (
            f"SELECT {selected}, CAST({int(file.first_row)} + file_row_number AS BIGINT) AS"
            f" {quote(ROW_ID.name)}, CAST({int(file.begins)} AS BIGINT) AS {quote(SNAPSHOT.name)}"
            f" FROM {source}"
        )

    def _moved(
        self, file: ErasableFile, deletes: ErasableDeletes, path: str, table: LakeTable
    ) -> StagedPositions:
        """Write the positions of a delete file as they are in the rewritten data file."""
        target_path = new_deletes_path(table)
        self.written.append(target_path)
        target = self._session.data_folder / target_path
        of = literal(str(self._session.data_folder / path))
        number = quote(ROW_ID.name)
        order = number if file.first_row is None else "file_row_number"
        remaining = (
            f"SELECT file_row_number AS was, row_number() OVER (ORDER BY {order}) - 1 AS pos FROM"
            f" {self._source(file.path, numbered=True)} WHERE NOT {self._condition}"
        )
        row = self._run(
            f"COPY (SELECT {of} AS file_path, kept.pos AS pos, gone.* EXCLUDE (file_path, pos)"
            f" FROM ({remaining}) AS kept"
            f" JOIN {self._source(deletes.path)} AS gone ON gone.pos = kept.was"
            f" ORDER BY kept.pos) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd,"
            " RETURN_STATS)"
        )[0]

        sealed = self.written[-1] = seal(self._session.data_folder, target_path)
        return StagedPositions(deletes.id, sealed, row[1], row[2], row[3])

    def _source(self, path: str, *, numbered: bool = False) -> str:
        extra = ", file_row_number = true" if numbered else ""
        where = literal(str(self._session.data_folder / path))
        return f"read_parquet({where}, {AS_WRITTEN}{extra})"

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        return self._session.run(sql, None).fetchall()
