"""Write a query's rows as a Parquet file into its table's folder, with the catalog's metadata.

No snapshot lists the file yet: it becomes visible when the leader registers it, or is deleted as an
orphan.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from headrace.lake.catalog.columns import (
    BOUND_CHARACTERS_MAX,
    ids_of,
    is_text,
    leaves_of,
    lower_bound,
    upper_bound,
)
from headrace.lake.encodings import FORMAT, is_readable, version_of
from headrace.lake.files import file_written, footer_hash, read_tail, seal
from headrace.lake.schema import (
    Given,
    SchemaMismatch,
    TargetTable,
    carried,
    cast_columns,
    value_mismatch,
)
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import AS_WRITTEN, literal, quote, relation_sql
from headrace.lake.tables import (
    PARTITION_COLUMN,
    ColumnLookup,
    ColumnStatistics,
    FileRef,
    LakeColumn,
    LakeTable,
    StagedFile,
    StagedPartition,
    new_path,
)
from headrace.lake.types import Type, parse
from headrace.model.errors import LakeError

# Comparing two partitions: a hash that depends neither on the order of rows nor on their
# distribution over files.

HASHED_BYTES_MAX = 256 * 2**10
"""256 KiB: larger staged files are hashed only when a comparison needs it.

Hashing costs a fifth to a half of the time for writing, at any size.
"""
ALGORITHM = "d155"
"""Version of DuckDB's `hash` (1.5.5).

Another DuckDB may hash otherwise, so only hashes with the same name are compared.
"""


def hash_partitions(
    session: DuckDBSession, files: Sequence[FileRef], columns: Sequence[LakeColumn]
) -> tuple[StagedPartition, ...]:
    """Return the rows and content hash of each partition in the files, sorted by key."""
    return count_partitions(session, files, columns, hashed=True)


def count_partitions(
    session: DuckDBSession, files: Sequence[FileRef], columns: Sequence[LakeColumn], *, hashed: bool
) -> tuple[StagedPartition, ...]:
    """Like `hash_partitions`; the hash is computed only if `hashed`."""
    return tuple(
        StagedPartition(key, count, hash_text(count, total, columns) if hashed else None)
        for key, count, total in sorted(sum_hashes(session, files, columns, hashed=hashed))
    )


def sum_hashes(
    session: DuckDBSession, files: Sequence[FileRef], columns: Sequence[LakeColumn], *, hashed: bool
) -> list[tuple[str, int, int]]:
    """Return each partition's key, rows, and the sum from which its hash derives (else 0)."""
    hashes = hash_aggregate(columns) if hashed else "0"
    source = relation_sql(files, columns if hashed else (), with_partition=True)
    key = quote(PARTITION_COLUMN)
    return session.connection.execute(
        f"SELECT {key}, count(*), {hashes} FROM ({source}) AS file WHERE {key} IS NOT NULL GROUP BY"
        " 1"
    ).fetchall()


def hash_aggregate(columns: Sequence[LakeColumn]) -> str:
    """Return the SQL aggregate from which `hash_text` derives a hash, for use in other scans."""
    return f"sum({row_hash(columns)})"


def row_hash(columns: Sequence[LakeColumn]) -> str:
    """Return the SQL expression for a row's hash, whose sum is `hash_aggregate`."""
    names = [quote(column.name) for column in columns if column.name != PARTITION_COLUMN]
    return f"hash({', '.join(names)})"


def empty_hash(columns: Sequence[LakeColumn]) -> str:
    """Return the hash of a partition without rows."""
    return hash_text(0, 0, columns)


def hash_text(rows: int, total: int, columns: Sequence[LakeColumn]) -> str:
    """Return the hash of a partition with `rows` rows, whose `hash_aggregate` is `total`.

    It includes column names and types: a renamed column is different content for readers.
    """
    lake_columns = [column for column in columns if column.name != PARTITION_COLUMN]
    schema = hashlib.sha256(
        "\n".join(f"{column.name}\t{column.type}" for column in lake_columns).encode()
    ).hexdigest()[:8]
    return f"{ALGORITHM}:{rows:x}:{total:x}:{schema}"


# Field ids for a new file, and its columns' statistics from DuckDB, completed by a scan. DuckDB
# gives no bounds for long text that isn't ASCII and no counts for intervals; without them the
# catalog's readers would skip rows.

Found = Mapping[str, Mapping[str, str]]
"""The statistics in COPY's RETURN_STATS, by the column's quoted path."""
Written = tuple[int, int, int, Found]
"""What COPY returns: rows, bytes, footer bytes, and the statistics."""


def field_ids(columns: Sequence[LakeColumn]) -> str:
    """Return the ids of the columns and of the fields inside them, for COPY's FIELD_IDS."""
    return (
        "{"
        + ", ".join(f"{literal(column.name)}: {_nested_ids(column)}" for column in columns)
        + "}"
    )


def _nested_ids(column: LakeColumn) -> str:
    ids = iter(ids_of(column))

    def walk(kind: Type) -> str:
        field_id = next(ids)
        if not kind.fields:
            return str(field_id)
        inner = ", ".join(f"{literal(name)}: {walk(child)}" for name, child in kind.fields)
        return f"{{__duckdb_field_id: {field_id}, {inner}}}"

    return walk(parse(column.type))


def _is_certain(statistics: ColumnStatistics, kind: Type, rows: int) -> bool:
    """Return whether the writer counted all rows, and didn't leave out the bounds of long texts."""
    if statistics.values + statistics.nulls != rows:
        return False
    unbounded = statistics.minimum is None or statistics.maximum is None
    return not (is_text(kind.name) and statistics.values and unbounded)


def measure(
    session: DuckDBSession, path: str, rows: int, results: Found, columns: Sequence[LakeColumn]
) -> tuple[dict[str, ColumnStatistics], dict[int, ColumnStatistics]]:
    """Return the statistics of plain columns by name, and of nested fields by column id."""
    plain: dict[str, ColumnStatistics] = {}
    nested: dict[int, ColumnStatistics] = {}
    unsure: list[LakeColumn] = []
    for column in columns:
        for leaf, parts, kind in leaves_of(column):
            of = _statistics(kind.name, results[".".join(quote(part) for part in parts)])
            if len(parts) > 1:
                nested[leaf] = of
                continue
            plain[column.name] = of
            if column.name != PARTITION_COLUMN and not _is_certain(of, kind, rows):
                unsure.append(column)
    plain.update(_measured(session, path, rows, plain, unsure))
    return plain, nested


def _statistics(type_name: str, of: Mapping[str, str]) -> ColumnStatistics:
    nulls, minimum, maximum = int(of["null_count"]), of.get("min"), of.get("max")
    if is_text(type_name):
        minimum = None if minimum is None else lower_bound(minimum)
        maximum = None if maximum is None else upper_bound(maximum)
    nan = of.get("has_nan")
    return ColumnStatistics(
        int(of["column_size_bytes"]),
        int(of["num_values"]) - nulls,
        nulls,
        minimum,
        maximum,
        None if nan is None else nan == "true",
    )


def _measured(
    session: DuckDBSession,
    path: str,
    rows: int,
    known: Mapping[str, ColumnStatistics],
    columns: Sequence[LakeColumn],
) -> dict[str, ColumnStatistics]:
    """Compute the statistics that DuckDB left out, with one scan of these columns."""
    if not columns:
        return {}
    aggregates = []
    for column in columns:
        name = quote(column.name)
        bounded = is_text(column.type)
        aggregates += [f"count({name})"] + [
            (
                f"left(CAST({of}({name}) AS VARCHAR), {BOUND_CHARACTERS_MAX + 1})"
                if bounded
                else "NULL"
            )
            for of in ("min", "max")
        ]
    row = session.row(
        f"SELECT {', '.join(aggregates)} FROM"
        f" ({relation_sql([FileRef(path, lookup=ColumnLookup.SAME)], columns)}) AS file"
    )
    measured = {}
    for number, column in enumerate(columns):
        values, minimum, maximum = row[3 * number : 3 * number + 3]
        measured[column.name] = msgspec.structs.replace(
            known[column.name],
            values=values,
            nulls=rows - values,
            minimum=None if minimum is None else lower_bound(minimum),
            maximum=None if maximum is None else upper_bound(maximum),
        )
    return measured


ENUM_CHARACTERS_MAX = 200
DESCRIBED_MAX = 1_000
"""Maximum number of statements whose columns a session caches."""

Parameters = Mapping[str, Any] | Sequence[Any] | None


class KeyExpression(msgspec.Struct, frozen=True):
    """How rows of several partitions in one file get their keys.

    `sql` computes a row's key, as text, from the columns of the asset's query; it is Headrace's own
    text, never a user's. `keys` are the requested partitions; those without rows are reported with
    0 rows.
    """

    sql: str
    keys: tuple[str, ...] = ()
    column: str = ""
    """A column of the query that only serves `sql` and isn't stored."""


Partition = str | KeyExpression | Callable[[LakeTable], KeyExpression]
"""The key of all rows, each row's key expression, or a function that derives it from the table."""


class NoPartition(LakeError):
    """Rows for which `KeyExpression` gives no key."""

    code = "row_outside_partition"


def stage(
    session: DuckDBSession,
    select_sql: str,
    parameters: Parameters = None,
    *,
    target: TargetTable,
    partition: Partition,
    hashed: bool = True,
    alike: Hashable = None,
) -> tuple[StagedFile, LakeTable]:
    """Compute `select_sql` into `main/<table>/<uuid>.parquet`, with `_partition` as first column.

    Columns are matched with the table's by name and cast; a cast that would change a value is
    refused. Returns the file and the table that it was written for.

    `hashed=False` leaves the content hash of a single partition to the next scan of the file.
    Statements with the same `alike` have the same columns whatever files they read, and are
    described once per session.

    Raises SchemaMismatch, UnsupportedType, NoPartition, and DuckDB's errors if the query fails; the
    file is deleted then.
    """
    body = _single_select(session, select_sql)
    query_columns = _described(session, body, parameters, alike)
    if isinstance(partition, KeyExpression) and partition.column:
        query_columns = tuple(item for item in query_columns if item[0] != partition.column)
    table = target.fitting(query_columns)
    partition = partition(table) if callable(partition) else partition
    key = (
        _constant(partition) if isinstance(partition, str) else f"CAST({partition.sql} AS VARCHAR)"
    )
    rows = (
        f"SELECT {key} AS {quote(PARTITION_COLUMN)},"
        f" {', '.join(cast_columns(query_columns, table))} FROM ({body}\n) AS body"
    )
    return _write(session, rows, parameters, table, partition, hashed=hashed), table


def describe(session: DuckDBSession, select_sql: str, parameters: Parameters) -> tuple[str, Given]:
    """Return the query's text without its final semicolon, and its columns.

    Raises SchemaMismatch for anything but one SELECT.
    """
    body = _single_select(session, select_sql)
    return body, _describe(session, body, parameters)


def write_rows(
    session: DuckDBSession, rows_sql: str, table: LakeTable, partition: str
) -> StagedFile:
    """Stage rows as one partition, unhashed; they have the table's columns in order and type."""
    columns = ", ".join(
        quote(column.name) for column in table.columns if column.name != PARTITION_COLUMN
    )
    rows = (
        f"SELECT {_constant(partition)} AS {quote(PARTITION_COLUMN)}, {columns} FROM ({rows_sql})"
        " AS given"
    )
    return _write(session, rows, None, table, partition, hashed=False)


@contextmanager
def refused(table: LakeTable) -> Iterator[None]:
    """Turn DuckDB's error for a value that doesn't fit its column into a ValueMismatch."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        if (mismatch := value_mismatch(str(error), table)) is None:
            raise
        raise mismatch from error


def stage_rewrite(
    session: DuckDBSession, file: FileRef, table: LakeTable, without: Sequence[str]
) -> StagedFile | None:
    """Copy a file without some of its partitions (copy on write); None if no rows are left.

    `file` is one of the table's current files. Where the columns change, its values are carried
    into them. Raises ValueMismatch for a value that would change.
    """
    columns = table.changed_from or table.columns
    source = relation_sql(
        [FileRef(file.path, None, file.deletes, file.snapshot_max, file.lookup)],
        columns,
        with_partition=True,
    )
    if table.changed_from:
        values = {column.id: (quote(column.name), column.type) for column in columns}
        select = ", ".join(
            f"{value} AS {quote(column.name)}"
            for value, column in zip(carried(values, table), table.columns, strict=True)
        )
        source = f"SELECT {select} FROM ({source}) AS published"
    dropped_keys = ", ".join(literal(key) for key in without) or "NULL"
    rows = (
        f"SELECT * FROM ({source}) AS file WHERE {quote(PARTITION_COLUMN)} NOT IN ({dropped_keys})"
        if without
        else source
    )
    staged = _write(session, rows, None, table, KeyExpression(quote(PARTITION_COLUMN)), hashed=True)
    if staged.rows:
        return staged
    (session.data_folder / staged.path).unlink()
    return None


def _single_select(session: DuckDBSession, select_sql: str) -> str:
    """Return the text of the asset's query if it is one SELECT.

    DuckDB has parsed it as a whole, so it can't close the parentheses that are put around it.
    """
    import duckdb

    statements = session.connection.extract_statements(select_sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise SchemaMismatch(
            "asset code must be one query that returns rows",
            hint="write a single SELECT, without `;`",
        )
    return _without_end(select_sql) if ";" in select_sql else select_sql


def _without_end(select_sql: str) -> str:
    """Return the text up to the final semicolon, if there is one; comments may follow it."""
    import duckdb

    body = select_sql.encode()
    last = max(
        (
            offset
            for offset, kind in duckdb.tokenize(select_sql)
            if kind != duckdb.token_type.comment
        ),
        default=0,
    )
    return body[:last].decode() if body[last : last + 1] == b";" else select_sql


def _constant(key: str) -> str:
    """Return the expression for one key of all rows.

    DuckDB writes an ENUM of one value as a dictionary without visiting each row (a tenth of the
    whole COPY for six million rows); in the file it is text.
    """
    if key.isprintable() and len(key) <= ENUM_CHARACTERS_MAX:
        return f"CAST({literal(key)} AS ENUM({literal(key)}))"
    return f"CAST({literal(key)} AS VARCHAR)"


def _described(session: DuckDBSession, body: str, parameters: Parameters, alike: Hashable) -> Given:
    if alike is None:
        return _describe(session, body, parameters)
    columns = session.described.get(alike)
    if columns is None:
        if len(session.described) >= DESCRIBED_MAX:
            session.described.clear()
            session.joining_whole.clear()
        columns = session.described[alike] = _describe(session, body, parameters)
    return columns


def _describe(session: DuckDBSession, body: str, parameters: Parameters) -> Given:
    rows = session.run(f"DESCRIBE {body}", parameters).fetchall()
    return tuple((row[0], row[1]) for row in rows)


def _write(
    session: DuckDBSession,
    rows_sql: str,
    parameters: Parameters,
    table: LakeTable,
    partition: str | KeyExpression,
    *,
    hashed: bool,
) -> StagedFile:
    path = new_path(table)
    target = session.data_folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    order = "" if isinstance(partition, str) else f" ORDER BY {quote(PARTITION_COLUMN)}"
    try:
        written = copied(session, rows_sql, parameters, table, target, table.columns, order)
        file_written()
        return described_file(session, path, written, table, partition, hashed=hashed)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def copied(
    session: DuckDBSession,
    rows_sql: str,
    parameters: Parameters,
    table: LakeTable,
    target: Path,
    columns: Sequence[LakeColumn],
    order: str,
) -> Written:
    """Write the rows in this order to a new file with these columns."""
    version = version_of(columns)
    written = _copy(session, f"{rows_sql}{order}", parameters, table, target, columns, version)
    if version == "V1" or is_readable(columns, written[3]):
        return written
    first = target.with_name(f"{uuid.uuid4()}.parquet")
    target.rename(first)
    try:
        rows = f"SELECT * FROM read_parquet([{literal(str(first))}], {AS_WRITTEN}){order}"
        return _copy(session, rows, None, table, target, columns, "V1")
    finally:
        first.unlink()


def _copy(
    session: DuckDBSession,
    rows_sql: str,
    parameters: Parameters,
    table: LakeTable,
    target: Path,
    columns: Sequence[LakeColumn],
    version: str,
) -> Written:
    copy = (
        f"COPY ({rows_sql}) TO {literal(str(target))} ({FORMAT.format(version)}, RETURN_STATS,"
        f" FIELD_IDS {field_ids(columns)})"
    )
    with refused(table):
        row = session.run(copy, parameters).fetchone()
    assert row is not None
    return row[1], row[2], row[3], row[4]


def described_file(
    session: DuckDBSession,
    path: str,
    written: Written,
    table: LakeTable,
    partition: str | KeyExpression,
    *,
    hashed: bool,
) -> StagedFile:
    """Return the file at `path` as the lake's, under its final name; nobody can write to it.

    `written` is what COPY returns: rows, bytes, footer bytes, and statistics by quoted path.
    """
    rows, size, footer, results = written
    target = session.data_folder / path
    keys = _partitions(
        session, path, rows, table, partition, hashed=hashed and size <= HASHED_BYTES_MAX
    )
    statistics, nested = measure(session, path, rows, results, table.columns)
    if statistics[PARTITION_COLUMN].nulls:
        raise NoPartition(
            f"{statistics[PARTITION_COLUMN].nulls} rows of `{table.name}` have no value from which"
            " their partition follows"
        )
    statistics[PARTITION_COLUMN] = _exact(
        statistics[PARTITION_COLUMN], [part.key for part in keys if part.rows]
    )
    tail = read_tail(target, footer)
    sealed = seal(session.data_folder, path)
    return StagedFile(
        sealed, rows, size, footer, statistics, keys, nested, table.columns, footer_hash(tail)
    )


def _partitions(
    session: DuckDBSession,
    path: str,
    rows: int,
    table: LakeTable,
    partition: str | KeyExpression,
    *,
    hashed: bool,
) -> tuple[StagedPartition, ...]:
    """Return the rows and content hash of each partition in the file.

    0 rows for missing requested ones.
    """
    if isinstance(partition, str):
        if not rows:
            return (StagedPartition(partition, 0, empty_hash(table.columns)),)
        if not hashed:
            return (StagedPartition(partition, rows),)
    expected_keys = (partition,) if isinstance(partition, str) else partition.keys
    partitions = {
        part.key: part
        for part in count_partitions(
            session, [FileRef(path, lookup=ColumnLookup.SAME)], table.columns, hashed=hashed
        )
    }
    missing = [
        StagedPartition(key, 0, empty_hash(table.columns))
        for key in expected_keys
        if key not in partitions
    ]
    return tuple(sorted((*partitions.values(), *missing), key=lambda part: part.key))


def _exact(of: ColumnStatistics, keys: Sequence[str]) -> ColumnStatistics:
    """Set the system column's bounds from the keys.

    DuckDB gives none for long keys that aren't ASCII.
    """
    bounds = (lower_bound(min(keys)), upper_bound(max(keys))) if keys else (None, None)
    return msgspec.structs.replace(of, minimum=bounds[0], maximum=bounds[1])
