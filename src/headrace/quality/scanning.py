"""The staged rows as an audit reads them: all of them in one scan, or one partition's under the name `__self__`.

Of a large file aggregates may be taken over a sample that is the same each time, taken by the rows' numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.lake import PARTITION_COLUMN, ColumnLookup, FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.inlining import Readable, source_sql
from headrace.lake.relation import numbered_sql
from headrace.lake.session import quote, relation_sql
from headrace.quality.kinds import SELF, CheckUnusable
from headrace.quality.samples import columns_of, sample

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

ONLY = ""
"""Stands for the key where the file holds one partition, so that its key needn't be read."""


SAMPLED = quote("headrace: is this row in the sample")
"""The column that says so, once `sample` was called."""
_PARTITION = LakeColumn(PARTITION_COLUMN, "VARCHAR", 1)


class StagedScanner:
    """Runs an audit's queries over one staged file, or over all `files` of a table as it will be."""

    def __init__(
        self,
        session: DuckDBSession,
        staged: StagedFile,
        table: LakeTable,
        references: Sequence[Readable],
        *,
        several: bool,
        files: Sequence[FileRef] = (),
        classified: Sequence[str] = (),
    ) -> None:
        """`several`: whether more than one partition was asked for (or staged), so that each is judged by itself. No row that is
        shown has a `classified` column."""
        self._classified = frozenset(name.lower() for name in classified)
        self._files = tuple(files)
        self._every = 1
        self.session, self.file, self.several = session, staged, several
        self.columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
        self.references = {reference.name.lower(): reference for reference in references}

    def aggregates(self, wanted: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """The aggregates in one scan, by partition key where the file holds several, else under `ONLY`. A partition
        without rows isn't there. Raises `duckdb.Error`."""
        source = f"FROM ({self._relation(None, with_partition=True) if self._every == 1 else self._numbered()})"
        if not self.several:
            results = self.fetch(f"SELECT {', '.join(wanted)} {source}")
            return {ONLY: results[0]}
        key = quote(PARTITION_COLUMN)
        grouped = self.fetch(f"SELECT {key}, {', '.join(wanted)} {source} GROUP BY {key}")
        return {str(row[0]): tuple(row[1:]) for row in grouped}

    def sample(self, every: int) -> None:
        """Aggregates may ask of a row whether it is `SAMPLED`: one of so many is, the same ones each time."""
        self._every = every

    def _numbered(self) -> str:
        """The rows with whether they are in the sample. A row's number in its file is hashed: data may have a rhythm."""
        files = self._files or (FileRef(self.file.path, lookup=ColumnLookup.SAME),)
        columns = (_PARTITION, *self.columns)
        names = ", ".join(f"c{at} AS {quote(column.name)}" for at, column in enumerate(columns))
        return f"SELECT {names}, hash(pos) % {self._every} = 0 AS {SAMPLED} FROM ({numbered_sql(files, columns)})"

    @property
    def path(self) -> str:
        """Where the file lies, absolute."""
        return str(self.session.data_folder / self.file.path)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query that names its sources itself. Raises `duckdb.Error`."""
        return self.session.connection.execute(query).fetchall()

    def count(self, query: str, key: str | None) -> int:
        """How many rows the query over `__self__` returns, for one partition or for all."""
        return int(self.fetch(f"SELECT count(*) FROM ({self._over_self(query, key)})")[0][0])

    def rows(self, query: str, key: str | None, *, first: str, staged_rows: bool) -> tuple[dict[str, Any], ...]:
        """Some of the rows that the query over `__self__` returns; `staged_rows`: they have the staged columns."""
        text, connection = self._over_self(query, key), self.session.connection
        columns = {column.name: column.type for column in self.columns} if staged_rows else columns_of(connection, text)
        return sample(connection, text, self._harmless(columns), first=first)

    def _harmless(self, columns: Mapping[str, str]) -> dict[str, str]:
        return {name: kind for name, kind in columns.items() if name.lower() not in self._classified}

    def require(self, names: Sequence[str]) -> None:
        """Raises `CheckUnusable` for a node that isn't at hand."""
        for name in names:
            if name.lower() not in self.references:
                raise CheckUnusable(f"`{name}` isn't at hand: nothing of it is published yet")

    def query(self, over_self: str) -> str:
        """A query over `__self__` as one that names its sources itself."""
        return self._over_self(over_self, None)

    def _over_self(self, query: str, key: str | None) -> str:
        views = {SELF: self._relation(key)}
        for name, reference in self.references.items():
            if name in query.lower():
                views[reference.name] = source_sql(reference)
        named = ", ".join(f"{quote(name)} AS NOT MATERIALIZED ({text})" for name, text in views.items())
        return f"WITH {named} SELECT * FROM (\n{query}\n)"

    def _relation(self, key: str | None, *, with_partition: bool = False) -> str:
        if self._files:
            return relation_sql(self._files, self.columns, with_partition=with_partition)
        keys = (key,) if key is not None and self.several else None
        return relation_sql((FileRef(self.file.path, keys, lookup=ColumnLookup.SAME),), self.columns, with_partition=with_partition)
