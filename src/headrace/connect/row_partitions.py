"""The partitions of a file's rows, if a column gives them.

That is `partition: {by: day, column: d}` with one file for many days, or `{key: region}` without
`{key}` in the file's name. An observation asks for the partitions in a file; an ingestion gives
each row its key. A date or key in the file's name applies to all of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from headrace.connect.deliveries import CannotRead, printable
from headrace.connect.files import WHOLE, unusable_key
from headrace.connect.patterns import KEY
from headrace.lake import LakeColumn
from headrace.lake.row_routing import NOWHERE, bounds_of, key_expression
from headrace.lake.sqltext import literal, quote
from headrace.lake.staging import KeyExpression
from headrace.model import Grain, Source
from headrace.model.errors import UsageError
from headrace.model.intervals import key_at_us, key_of_date, local_us
from headrace.model.partitions import join, split
from headrace.model.texts import marked

if TYPE_CHECKING:
    import duckdb


KEYS_MAX = 20_000
"""Maximum number of partitions of one file."""
DIFFERENT_MAX = 8 * KEYS_MAX
"""Maximum number of distinct days, or quarters of an hour, that are read to find them."""
BUCKET_SECONDS = 900
"""15 minutes: in every zone, hours begin at a whole quarter of UTC's hour."""
SEPARATOR = "/"
CODE = "delivery_partition"


def _check_key(column: str | None, key: str) -> None:
    if column is not None and (problem := unusable_key(key, None)):
        raise CannotRead(f"column {printable(column)}: {marked(problem)}", code="delivery_key")


def partitions_in(
    connection: duckdb.DuckDBPyConnection,
    select_sql: str,
    columns: Sequence[LakeColumn],
    source: Source,
    named: str,
) -> list[str]:
    """Return the partitions of the rows of `select_sql`, sorted; rows without a value have none.

    `named` is the part in the file's name, `*` if there is none. Raises CannotRead for a missing
    column, one that isn't a date or a time, invalid keys, and too many partitions; DuckDB's errors
    for invalid values.
    """
    moments, keys = _columns(source, columns)
    expressions = [f"{_bucket(column, columns, source)} AS t" for column in moments]
    expressions += [f"CAST({quote(column)} AS VARCHAR) AS k" for column in keys]
    present = " AND ".join((["t IS NOT NULL"] if moments else []) + (["k <> ''"] if keys else []))
    query = (
        f"SELECT DISTINCT * FROM (SELECT {', '.join(expressions)} FROM ({select_sql})) WHERE"
        f" {present} LIMIT {DIFFERENT_MAX}"
    )
    rows = _different_rows(connection, query, source)
    known_time, known_key = _named_keys(source, named)
    results: set[str] = set()
    for row in rows:
        interval = _time_key(row[0], source) if moments else known_time
        key = str(row[-1]) if keys else known_key
        _check_key(source.partition.key, key)
        results.add(join(interval, key))
    if len(results) > KEYS_MAX or len(rows) == DIFFERENT_MAX:
        raise CannotRead(f"its rows belong to more than {KEYS_MAX:,} partitions", code=CODE)
    listed = source.partition.values
    return sorted(
        key for key in results if listed is None or split(key, source.partition)[1] in listed
    )


def _different_rows(
    connection: duckdb.DuckDBPyConnection, query: str, source: Source
) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(query).fetchall()
    except OverflowError as error:  # an instant whose local time is before the year 1
        raise _in_no_interval("the first of its times", source) from error


def key_of_rows(
    source: Source, columns: Sequence[LakeColumn], keys: Sequence[str]
) -> KeyExpression:
    """Return the expression for each row's key among `keys`, else `NOWHERE`.

    Raises CannotRead as `partitions_in` does.
    """
    moments, columns_of_key = _columns(source, columns)
    pairs = [split(key, source.partition) for key in keys]
    time_sql = (
        _time_sql(moments[0], columns, source, sorted({interval for interval, _ in pairs}))
        if moments
        else literal(pairs[0][0])
    )
    if source.partition.key is None:
        return KeyExpression(time_sql, tuple(keys))
    key_sql = (
        f"CAST({quote(columns_of_key[0])} AS VARCHAR)" if columns_of_key else literal(pairs[0][1])
    )
    whole = (
        key_sql
        if source.partition.grain is None
        else f"({time_sql} || {literal(SEPARATOR)} || {key_sql})"
    )
    condition = f"{key_sql} IS NULL OR {key_sql} = ''" + (
        f" OR {time_sql} = {literal(NOWHERE)}" if source.partition.grain else ""
    )
    listed = (
        f" OR {key_sql} NOT IN ({', '.join(map(literal, source.partition.values))})"
        if source.partition.values
        else ""
    )
    return KeyExpression(
        f"CASE WHEN {condition}{listed} THEN {literal(NOWHERE)} ELSE {whole} END", tuple(keys)
    )


def _columns(source: Source, columns: Sequence[LakeColumn]) -> tuple[list[str], list[str]]:
    """Return the columns for the time and the key, each empty if the file's name gives it."""
    spec, files = source.partition, source.files or ""
    moments = (
        [spec.column] if spec.grain is not None and "{date:" not in files and spec.column else []
    )
    keys = [spec.key] if spec.key is not None and KEY not in files else []
    return [_column(name, columns) for name in moments], [_column(name, columns) for name in keys]


def _column(name: str, columns: Sequence[LakeColumn]) -> str:
    results = [column.name for column in columns if column.name == name] or [
        lake_column.name for lake_column in columns if lake_column.name.lower() == name.lower()
    ]
    if len(results) != 1:
        raise CannotRead(
            f"there is no column {printable(name)}, which says the partition of each row", code=CODE
        )
    return results[0]


def _named_keys(source: Source, named: str) -> tuple[str, str]:
    """Return the time's key and the data's key in the file's name."""
    if named == WHOLE:
        return "", ""
    return (named, "") if "{date:" in (source.files or "") else ("", named)


def _type(name: str, columns: Sequence[LakeColumn]) -> str:
    return next(column.type for column in columns if column.name == name)


def _bucket(name: str, columns: Sequence[LakeColumn], source: Source) -> str:
    """Return SQL for a row's local day or quarter of an hour, so that few values are distinct."""
    kind, column = _type(name, columns), quote(name)
    if kind != "DATE" and not kind.startswith("TIMESTAMP"):
        raise CannotRead(
            f"column {printable(name)} is {kind}, which says no time; promise it as a date in the"
            " contract",
            code=CODE,
        )
    if source.partition.grain is not Grain.HOUR:
        return f"CASE WHEN isfinite({column}) THEN CAST({column} AS DATE) END"
    return (
        f"CASE WHEN isfinite({column}) THEN time_bucket(INTERVAL {BUCKET_SECONDS} SECONDS,"
        f" {column}) END"
    )


def _time_key(value: date | datetime | str, source: Source) -> str:
    """Return the key of a time; DuckDB gives text for years that Python's dates don't have."""
    grain = source.partition.time_grain
    if isinstance(value, str):
        raise _in_no_interval(value, source)
    try:
        if grain is not Grain.HOUR:
            return key_of_date(value.date() if isinstance(value, datetime) else value, grain)
        return key_at_us(_instant_us(value, source.timezone), grain, source.timezone)
    except (UsageError, ValueError, OverflowError) as error:
        raise _in_no_interval(value, source) from error


def _in_no_interval(value: object, source: Source) -> CannotRead:
    column, grain = printable(source.partition.column), source.partition.grain
    return CannotRead(f"column {column}: {marked(printable(value))} is in no {grain}", code=CODE)


def _instant_us(value: date | datetime, timezone: str) -> int:
    if not isinstance(value, datetime):
        return local_us(value, time(), timezone)
    if value.tzinfo is None:
        return local_us(value.date(), value.time(), timezone)
    return int(value.astimezone(UTC).timestamp()) * 1_000_000


def _time_sql(
    name: str, columns: Sequence[LakeColumn], source: Source, moments: Sequence[str]
) -> str:
    grain = source.partition.time_grain
    kind = _type(name, columns)
    return key_expression(
        name, [bounds_of(interval, grain, source.timezone, kind) for interval in moments]
    )
