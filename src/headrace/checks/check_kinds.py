"""Check kinds: turn a declared check into SQL, and its measurements into a finding.

A kind is one subclass of `CheckKind` in `checks/kinds`, or in an installed package with an entry
point in the group `headrace.checks`. It reads no data: it returns the aggregates that the audit
computes in its one scan, or a query that returns the failing rows.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from headrace.checks.proposals import Memory, MutationKind, Proposal
from headrace.lake import (
    PARTITION_COLUMN,
    ColumnLookup,
    ColumnStatistics,
    FileRef,
    LakeColumn,
    LakeTable,
    StagedFile,
)
from headrace.lake.sqltext import Readable, literal, numbered_sql, quote, relation_sql, source_sql
from headrace.model import CheckSpec, HeadraceError
from headrace.model.check_kinds import BUILT_IN, CheckDeclaration, check_declaration
from headrace.model.plugins import CHECKS, BrokenPlugin, plugin_names

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headrace.lake.session import DuckDBSession


SELF = "__self__"
"""The name of the staged rows in a check's query; it replaces `$self`."""

LISTED_VALUES_MAX = 5
"""The maximum number of values in a detail; `…` replaces the others."""

FLOATS = ("FLOAT", "DOUBLE")


class CheckUnusable(HeadraceError):
    """The check can't be measured on these columns. It fails with this message and never passes."""


class CheckedPartition(msgspec.Struct, frozen=True):
    """One partition of the staged file.

    `as_of_us` is the point in time that ages are measured from, in microseconds since 1970 UTC:
    now, or the end of the partition's interval if that is earlier, so that history can be
    recomputed. `now_us` is now: later values lie in the future.
    """

    key: str
    rows: int
    as_of_us: int
    now_us: int


class CheckFinding(msgspec.Struct, frozen=True):
    """The result of a check on a partition: rows checked, rows that fail, and a text about them."""

    rows: int
    failing: int = 0
    detail: str = ""


class CheckSubject(msgspec.Struct, frozen=True):
    """The staged rows that checks are about.

    `columns` maps the names of columns to DuckDB's names of their types; `statistics` are those of
    the whole file, over all of its partitions.
    """

    columns: Mapping[str, str]
    statistics: Mapping[str, ColumnStatistics]
    rows: int
    timezone: str

    def column(self, name: str) -> str:
        """Return the column's name as the table spells it, since SQL ignores case.

        Raises `CheckUnusable`.
        """
        if name in self.columns:
            return name
        for column in self.columns:
            if column.lower() == name.lower():
                return column
        raise CheckUnusable(
            f"there is no column `{name}`", hint=f"columns: {listed(list(self.columns), most=20)}"
        )

    def nulls(self, column: str) -> int | None:
        """Return the number of nulls in the whole file, or None if the writer didn't count them."""
        statistics = self.statistics.get(column)
        return None if statistics is None else statistics.nulls


class AggregateCheck(msgspec.Struct, frozen=True):
    """A check that aggregates over the staged rows decide; without aggregates it needs no scan."""

    judge: Callable[[CheckedPartition, tuple[Any, ...]], CheckFinding]
    aggregates: tuple[str, ...] = ()
    failing: str = ""
    """A query over `__self__` that returns failing rows; run only if some rows fail."""
    examples: str = ""
    """The column of the failing rows whose values the detail names."""
    staged_rows: bool = True
    """Whether `failing` returns the staged columns, so that its columns needn't be looked up."""
    faulty_rows: str = ""
    """A query over `__self__` of all faulty rows, if `failing` returns something about them."""
    for_large_file: tuple[str, ...] = ()
    """Aggregates with the same values, cheaper than `aggregates` for a large file of one partition.

    They may raise an error where `aggregates` don't.
    """
    proof: Callable[[StagedScanner], bool] | None = None
    """A test that is cheaper than the aggregates for large files: True only if no row can fail."""
    judges_empty: bool = False
    """Whether a partition without rows can fail; `judge` then gets no values."""
    distinct_of: str = ""
    """The column whose known values, and whose distinct values, are all that `aggregates` count."""


class QueryCheck(msgspec.Struct, frozen=True):
    """A check whose failures are the rows of a query over `__self__` and other nodes."""

    query: str
    describe: Callable[[int], str]
    examples: str = ""
    staged_rows: bool = False
    row_by_row: bool = False
    """Whether each row fails by itself: if no row of the file fails, no partition fails."""
    reads: tuple[str, ...] = ()
    """Nodes that must have been published; other nodes are added if the query names them."""
    where: str | None = None
    """A condition on the rows that the query returns."""


Measurement = AggregateCheck | QueryCheck


class CheckKind(CheckDeclaration):
    """One check kind: its declaration, its measurement, and what a challenge needs to know."""

    cause: ClassVar[str] = "distribution_shift"
    """The kind of cause (`headrace.model.causes`) that a failure is evidence of."""
    of_single_rows: ClassVar[bool] = True
    """Whether some of the rows pass wherever all of them pass."""
    counts_rows: ClassVar[bool] = True
    """Whether `CheckFinding.failing` is a number of the node's rows."""
    reads_only_rows: ClassVar[bool] = False
    """Whether the result depends only on the rows and on the time that ages are measured from.

    Rows that passed such a check once can fail only a changed declaration.
    """

    declared_once: ClassVar[bool] = False
    """Whether a challenge proposes no check of this kind to a node that declares one already."""
    detects: ClassVar[frozenset[MutationKind]] = frozenset()
    """Faults of a challenge for which `proposed` may return a check that notices them."""

    @abstractmethod
    def measure(self, check: CheckSpec, subject: CheckSubject) -> Measurement:
        """Return the aggregates or the query that decide the check; read no data.

        Raises CheckUnusable.
        """

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether, by the arguments, rows that pass `by` also pass `arguments`.

        A challenge reports such a check as a duplicate. By default, equal arguments.
        """
        return dict(arguments) == dict(by)

    def proposed(self, column: str, memory: Memory) -> Iterator[Proposal]:
        """Return checks that the newest partitions pass, about a column or, if empty, all rows."""
        del column, memory
        return iter(())

    def merged_by(self, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the key by which proposed checks become one check; None for separate checks."""
        del arguments
        return None

    def merged(self, several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the arguments of one check in place of several with the same `merged_by`."""
        return {name: value for arguments in several for name, value in arguments.items()}

    def over_partitions(
        self, arguments: Mapping[str, Any], partition: str
    ) -> Mapping[str, Any] | None:
        """Return the arguments that decide the check for the rows of many partitions at once.

        `partition` is the column with each row's partition. None if the check needs only the
        number of a partition's rows, and passes if it does in the smallest one.
        """
        del partition
        return arguments


def kind(name: str) -> CheckKind:
    """Return the kind `name`.

    Raises CheckUnusable if no installed package has it, and BrokenPlugin.
    """
    results = check_declaration(name)
    if not isinstance(results, CheckKind):
        raise CheckUnusable(
            f"there is no check kind `{name}`",
            hint=f"kinds: {', '.join(dict.fromkeys((*BUILT_IN, *plugin_names(CHECKS))))}",
        )
    return results


def known_kind(name: str) -> CheckKind | None:
    """Return the kind of a stored result; None if its package is broken or no longer installed."""
    try:
        return kind(name)
    except (CheckUnusable, BrokenPlugin):
        return None


# What kinds share: arguments compared, and conditions on rows.


def same_column(arguments: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether two checks are about the same column; SQL ignores case."""
    return str(arguments["column"]).lower() == str(others["column"]).lower()


def lowered(columns: Sequence[Any]) -> frozenset[str]:
    """Return the names of columns as SQL compares them."""
    return frozenset(str(column).lower() for column in columns)


def within(arguments: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether the bounds of `others` lie within ours; bounds of texts must be equal."""
    for name, sign in (("min", 1), ("max", -1)):
        ours, theirs = arguments.get(name), others.get(name)
        if ours is None:
            continue
        if isinstance(ours, int | float) and isinstance(theirs, int | float):
            if sign * ours > sign * theirs:
                return False
        elif ours != theirs:
            return False
    return True


def condition(check: CheckSpec, bad: str) -> str:
    """Return the SQL condition that holds for failing rows: `bad`, restricted by `where`."""
    return f"({bad})" if check.where is None else f"(({bad}) AND {scope(check)})"


def scope(check: CheckSpec) -> str:
    """Return the check's `where` in parentheses; the line break ends a trailing SQL comment."""
    return "(true)" if check.where is None else f"({check.where}\n)"


def rows_breaking(
    check: CheckSpec, bad: str, describe: Callable[[int], str], *, examples: str = ""
) -> AggregateCheck:
    """Return a check of single rows: rows fail where the SQL condition `bad` is true."""
    failing = condition(check, bad)
    aggregates: tuple[str, ...] = (f"count(*) FILTER (WHERE {failing})",)
    if check.where is not None:
        aggregates += (f"count(*) FILTER (WHERE {scope(check)})",)

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0])
        return CheckFinding(
            int(values[1]) if check.where is not None else part.rows,
            count,
            describe(count) if count else "",
        )

    return AggregateCheck(
        judge, aggregates, f"SELECT * FROM {quote(SELF)} WHERE {failing}", examples
    )


def value(declared: Any, column_type: str) -> str:
    """Return a declared value as SQL, to be compared with a column of that type.

    Text columns are compared as text, whatever type YAML gave the value. Other columns use DuckDB's
    cast of the literal, which raises an error if the value doesn't fit.
    """
    if column_type == "VARCHAR" and isinstance(declared, bool):
        return literal("true" if declared else "false")
    if column_type == "VARCHAR" or not isinstance(declared, (bool, int, float)):
        return literal(str(declared))
    return repr(declared).lower() if isinstance(declared, bool) else str(declared)


def listed(values: Sequence[Any], *, most: int = LISTED_VALUES_MAX) -> str:
    """Return the values as text: `EWR, JFK, LGA`; after `most` values, `…` and the total."""
    text = ", ".join(str(each) for each in values[:most])
    return text if len(values) <= most else f"{text}, … ({len(values)} in all)"


def rows(count: int) -> str:
    """Return `1 row` or `3 rows`."""
    return "1 row" if count == 1 else f"{count} rows"


# Sample rows for people: few, shortened, as JSON. Queried only for failed checks.

SAMPLE_ROWS_MAX = 5
SAMPLE_COLUMNS_MAX = 30
SAMPLE_CHARACTERS_MAX = 200
EXAMPLES_MAX = 3

_AS_THEY_ARE = {
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "FLOAT",
    "DOUBLE",
}
_EXACT_IN_JSON_MAX = 2**53


def columns_of(connection: DuckDBPyConnection, query: str) -> dict[str, str]:
    """Return the columns of a query and their types. Raises `duckdb.Error`."""
    return {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {query}").fetchall()}


def sample(
    connection: DuckDBPyConnection, query: str, columns: Mapping[str, str], *, first: str = ""
) -> tuple[dict[str, Any], ...]:
    """Return at most `SAMPLE_ROWS_MAX` rows of the query, with the column `first` first.

    Numbers and booleans stay as they are where JSON can hold them; other values become text of at
    most `SAMPLE_CHARACTERS_MAX` characters. Without columns each row is empty. Raises
    `duckdb.Error`.
    """
    names = sorted(columns, key=lambda name: name.lower() != first.lower())[:SAMPLE_COLUMNS_MAX]
    text = ", ".join(
        quote(name) if columns[name] in _AS_THEY_ARE else _as_text(name) for name in names
    )
    rows = connection.execute(
        f"SELECT {text or 'NULL'} FROM ({query}) LIMIT {SAMPLE_ROWS_MAX}"
    ).fetchall()
    return tuple(
        {name: _jsonable(value) for name, value in zip(names, row, strict=bool(names))}
        for row in rows
    )


def examples(rows: tuple[dict[str, Any], ...], column: str) -> str:
    """Return distinct values of the column in the sample rows, for a detail: `XXX, YYY`."""
    seen = dict.fromkeys(str(row[column]) for row in rows if column in row)
    return ", ".join(list(seen)[:EXAMPLES_MAX])


def _as_text(name: str) -> str:
    return f"left(CAST({quote(name)} AS VARCHAR), {SAMPLE_CHARACTERS_MAX + 1})"


def _jsonable(value: Any) -> Any:
    if isinstance(value, str) and len(value) > SAMPLE_CHARACTERS_MAX:
        return value[:SAMPLE_CHARACTERS_MAX] + "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > _EXACT_IN_JSON_MAX:
        return str(value)
    return value


# The staged rows as an audit reads them: all rows in one scan, or one partition's rows under the
# name `__self__`. Aggregates of a large file may use a sample. Rows are chosen by row number, so
# that the sample is the same each time.

ONLY = ""
"""Replaces the key if the file holds one partition, so that the key needn't be read."""


SAMPLED = quote("headrace: is this row in the sample")
"""The column that marks rows of the sample, after `sample` was called."""
_PARTITION = LakeColumn(PARTITION_COLUMN, "VARCHAR", 1)


class StagedScanner:
    """Runs an audit's queries over a staged file, or over all `files` of the resulting table."""

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
        """`several`: whether several partitions were requested or staged, each evaluated by itself.

        Sample rows never include a `classified` column.
        """
        self._classified = frozenset(name.lower() for name in classified)
        self._files = tuple(files)
        self._every = 1
        self.session, self.file, self.several = session, staged, several
        self.columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
        self.references = {reference.name.lower(): reference for reference in references}

    def aggregates(self, expressions: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """Compute the aggregates in one scan, by partition key; by `ONLY` for a single partition.

        The result has no entry for a partition without rows. Raises `duckdb.Error`.
        """
        whole = self._every == 1
        relation = self._relation(None, with_partition=True) if whole else self._numbered()
        source = f"FROM ({relation})"
        if not self.several:
            results = self.fetch(f"SELECT {', '.join(expressions)} {source}")
            return {ONLY: results[0]}
        key = quote(PARTITION_COLUMN)
        grouped = self.fetch(f"SELECT {key}, {', '.join(expressions)} {source} GROUP BY {key}")
        return {str(row[0]): tuple(row[1:]) for row in grouped}

    def each_row(self, expressions: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the values of expressions for each row. Raises `duckdb.Error`."""
        relation = self._relation(None, with_partition=True)
        return self.fetch(f"SELECT {', '.join(expressions)} FROM ({relation})")

    def sample(self, every: int) -> None:
        """Let aggregates use `SAMPLED`: about one row in `every`, the same ones each time."""
        self._every = every

    def _numbered(self) -> str:
        """Mark rows of the sample by the hash of their number, since data may be periodic."""
        files = self._files or (FileRef(self.file.path, lookup=ColumnLookup.SAME),)
        columns = (_PARTITION, *self.columns)
        names = ", ".join(f"c{at} AS {quote(column.name)}" for at, column in enumerate(columns))
        return (
            f"SELECT {names}, hash(pos) % {self._every} = 0 AS {SAMPLED} FROM"
            f" ({numbered_sql(files, columns)})"
        )

    @property
    def path(self) -> str:
        """Return the absolute path of the file."""
        return str(self.session.data_folder / self.file.path)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query that names its sources itself. Raises `duckdb.Error`."""
        return self.session.connection.execute(query).fetchall()

    def count(self, query: str, key: str | None) -> int:
        """Return the number of rows of a query over `__self__`, for one partition or for all."""
        return int(self.fetch(f"SELECT count(*) FROM ({self._over_self(query, key)})")[0][0])

    def rows(
        self, query: str, key: str | None, *, first: str, staged_rows: bool
    ) -> tuple[dict[str, Any], ...]:
        """Return sample rows of a query over `__self__`.

        `staged_rows`: whether the query returns the staged columns.
        """
        text, connection = self._over_self(query, key), self.session.connection
        columns = (
            {column.name: column.type for column in self.columns}
            if staged_rows
            else columns_of(connection, text)
        )
        return sample(connection, text, self._harmless(columns), first=first)

    def _harmless(self, columns: Mapping[str, str]) -> dict[str, str]:
        return {
            name: kind for name, kind in columns.items() if name.lower() not in self._classified
        }

    def require(self, names: Sequence[str]) -> None:
        """Raise `CheckUnusable` for a node of which nothing is published."""
        for name in names:
            if name.lower() not in self.references:
                raise CheckUnusable(f"`{name}` can't be read: nothing of it is published yet")

    def query(self, over_self: str) -> str:
        """Turn a query over `__self__` into one that names its sources itself."""
        return self._over_self(over_self, None)

    def _over_self(self, query: str, key: str | None) -> str:
        views = {SELF: self._relation(key)}
        for name, reference in self.references.items():
            if name in query.lower():
                views[reference.name] = source_sql(reference)
        named = ", ".join(
            f"{quote(name)} AS NOT MATERIALIZED ({text})" for name, text in views.items()
        )
        return f"WITH {named} SELECT * FROM (\n{query}\n)"

    def _relation(self, key: str | None, *, with_partition: bool = False) -> str:
        if self._files:
            return relation_sql(self._files, self.columns, with_partition=with_partition)
        keys = (key,) if key is not None and self.several else None
        return relation_sql(
            (FileRef(self.file.path, keys, lookup=ColumnLookup.SAME),),
            self.columns,
            with_partition=with_partition,
        )
