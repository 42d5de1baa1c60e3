"""Containers for the inputs of a Python asset, and its result as Arrow batches.

Streams remain streams: the rows of an iterator become batches of `BATCH_ROWS` as they arrive, and
only one batch is in memory at a time.
"""

from __future__ import annotations

import contextlib
import enum
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from numbers import Integral, Real
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pyarrow as pa
from pyarrow import compute

from headrace.engine.attempts import InputData
from headrace.engine.failures import BodyFailed, failed
from headrace.lake import PARTITION_COLUMN, LakeTable
from headrace.lake.arrow_types import meanings_lost
from headrace.lake.small_files import SMALL_BYTES_MAX
from headrace.lake.sqltext import quote, source_sql
from headrace.model.fields import BIGINT_BEYOND

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


_DECIMAL_DIGITS_MAX = 38
_NOTHING = pa.null()
BATCH_ROWS = 8_192
KINDS_MAX = 3
"""Maximum number of kinds of values that a message names."""
SCHEMAS_MAX = 1_000
"""Maximum number of tables whose Arrow schemas a process keeps."""
_SCHEMAS: dict[tuple[tuple[str, str], ...], pa.Schema] = {}
ACCEPTED = (
    "an Arrow table, a Polars or pandas frame, a DuckDB relation, or an iterator of dicts, batches"
    " or frames"
)


class Container(enum.StrEnum):
    """The type of an input as a function's parameter declares it."""

    ARROW = "arrow"
    POLARS = "polars"
    POLARS_LAZY = "polars_lazy"
    PANDAS = "pandas"
    DUCKDB = "duckdb"


def as_container(session: DuckDBSession, data: InputData, container: Container) -> Any:
    """Return the input's rows in a container. Intervals are durations, save in a relation.

    Raises `BodyFailed` if the library that the container needs isn't installed, and for an interval
    with months, which have no duration.
    """
    if container is Container.DUCKDB:
        return session.connection.sql(source_sql(data))
    if container is Container.PANDAS:
        _installed("pandas")
    result = session.connection.execute(source_sql(data))  # a relation would be bound twice
    intervals = [name for name, kind, *_ in result.description or () if kind == "INTERVAL"]
    _require_durations(session, data, intervals)
    if container is Container.PANDAS:
        return (session.connection.execute(source_sql(data)) if intervals else result).df()
    table = _with_durations(session, data, intervals) if intervals else result.to_arrow_table()
    if container is Container.ARROW:
        return table
    frame = _installed("polars").from_arrow(table)
    return frame.lazy() if container is Container.POLARS_LAZY else frame


def _require_durations(session: DuckDBSession, data: InputData, intervals: Sequence[str]) -> None:
    """Raise `BodyFailed` for the first of these columns that has months or years."""
    for name in intervals:
        months = f"SELECT 1 FROM ({source_sql(data)}) WHERE datepart('month', {quote(name)}) <> 0"
        years = f" OR datepart('year', {quote(name)}) <> 0 LIMIT 1"
        if session.connection.execute(months + years).fetchone():
            raise failed(
                f"column `{name}` of `{data.name}` has intervals with months, which are no"
                " durations",
                code="body_failed",
                hint=f"declare the input as duckdb.DuckDBPyRelation, or cast `{name}` to text in"
                " the asset that computes it",
            )


def _with_durations(session: DuckDBSession, data: InputData, intervals: Sequence[str]) -> pa.Table:
    """Return the input's rows with durations; Arrow's own type of intervals is read by nobody."""
    micros = ", ".join(f"epoch_us({quote(name)}) AS {quote(name)}" for name in intervals)
    table = session.connection.execute(
        f"SELECT * REPLACE ({micros}) FROM ({source_sql(data)})"
    ).to_arrow_table()
    duration = pa.duration("us")
    return table.cast(
        pa.schema(
            [
                field.with_type(duration) if field.name in intervals else field
                for field in table.schema
            ]
        )
    )


def schema_of(session: DuckDBSession, table: LakeTable) -> pa.Schema:
    """Return the table's Arrow schema, without the system column.

    Times with zone have the type null: the values must show whether they have a zone, since Arrow
    would silently read a local time as UTC.
    """
    return schema_of_columns(
        session,
        [(column.name, column.type) for column in table.columns if column.name != PARTITION_COLUMN],
    )


def schema_of_columns(session: DuckDBSession, columns: Sequence[tuple[str, str]]) -> pa.Schema:
    """Return the Arrow schema of at least one column, given by name and type.

    It follows from these alone, and asking DuckDB takes half a millisecond.
    """
    given = tuple(columns)
    schema = _SCHEMAS.get(given)
    if schema is None:
        if len(_SCHEMAS) >= SCHEMAS_MAX:
            _SCHEMAS.clear()
        schema = _SCHEMAS[given] = _schema_of(session, given)
    return schema


def _schema_of(session: DuckDBSession, columns: Sequence[tuple[str, str]]) -> pa.Schema:
    empty = ", ".join(f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in columns)
    schema = session.connection.sql(f"SELECT {empty} LIMIT 0").to_arrow_table().schema
    return pa.schema(
        [field.with_type(pa.null()) if _has_zone(field.type) else field for field in schema]
    )


def stream(
    value: Any,
    known: Callable[[], pa.Schema | None],
    declared: Callable[[], pa.Schema | None] = lambda: None,
    *,
    nothing: pa.DataType = _NOTHING,
) -> pa.RecordBatchReader:
    """Return the result of a function as a stream.

    `known` returns the table's columns, or None before the first publication. `declared` returns
    those of `columns:`, for a result without rows before there is a table. Both are called only if
    needed. `nothing` is the type of columns, lists and fields without any value, which DuckDB takes
    for INTEGER if they have none.

    Raises `BodyFailed` for a result that isn't a table, and any exception of an iterator.
    """
    reader = _frame(value)
    if reader is None:
        reader = _rows(value, known(), declared)
    _names_once(reader.schema)
    for name, lost in meanings_lost(reader.schema.serialize().to_pybytes(), parquet=False):
        raise failed(
            f"column `{name}` has {lost}, which no table keeps",
            code="wrong_result",
            hint="convert it before it is returned, such as to text (pandas: `.astype(str)`)",
        )
    return _as_read(reader, nothing)


def _as_read(reader: pa.RecordBatchReader, nothing: pa.DataType) -> pa.RecordBatchReader:
    """Return the rows in types that DuckDB reads, with the same values.

    DuckDB 1.5.5 cuts nanoseconds of points in time with a zone, takes the number below a missing
    duration for one, and reads no dictionary of structures.
    """
    schema = pa.schema([field.with_type(_read_as(field.type, nothing)) for field in reader.schema])
    if schema == reader.schema and not any(map(pa.types.is_interval, schema.types)):
        return reader
    return pa.RecordBatchReader.from_batches(schema, (_exact(batch, schema) for batch in reader))


def _read_as(  # complexipy: ignore (rules, the first applies)
    kind: pa.DataType, nothing: pa.DataType
) -> pa.DataType:
    if pa.types.is_null(kind):
        return nothing
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        digits = _DECIMAL_DIGITS_MAX
        return pa.decimal128(digits, max(0, min(kind.scale, digits)))
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if _has_zone(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_read_as(field.type, nothing)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_read_as(kind.key_type, nothing), _read_as(kind.item_type, nothing))
    if not hasattr(kind, "value_type"):
        return kind
    inner = _read_as(kind.value_type, nothing)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        inner = getattr(inner, "storage_type", inner)
        return inner if inner != kind.value_type or pa.types.is_nested(inner) else kind
    if inner == kind.value_type:
        return kind
    of_item = kind.value_field.with_type(inner)
    return pa.large_list(of_item) if pa.types.is_large_list(kind) else pa.list_(of_item)


def _exact(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(schema, batch.columns, strict=True)
    return pa.RecordBatch.from_arrays([_exact_column(*each) for each in columns], schema=schema)


def _exact_column(field: pa.Field, values: pa.Array) -> pa.Array:
    values = _decoded(values, field.type)
    fault = "times that whole microseconds don't hold"
    if pa.types.is_decimal(field.type):
        fault = f"numbers of over {_DECIMAL_DIGITS_MAX} digits"
    try:
        if "list_view" in str(values.type):
            fault = "list views of times, durations or decimals"
            raise pa.ArrowInvalid(fault)  # Arrow 26 makes empty lists of some of them
        if pa.types.is_interval(field.type):
            if any(value is not None and value.nanoseconds % 1000 for value in values.to_pylist()):
                raise pa.ArrowInvalid(fault)
            return values
        return values.cast(field.type)
    except pa.ArrowException as error:
        raise failed(
            f"column `{field.name}` has {fault}",
            code="wrong_result",
            hint="round or cast it, or return it as text",
        ) from error


def _decoded(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(values.type) and not pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
    if pa.types.is_run_end_encoded(values.type) and not pa.types.is_run_end_encoded(kind):
        values = compute.run_end_decode(values)
    return values


def select_sql(name: str, schema: pa.Schema) -> str:
    """Return a SELECT over registered rows, which fails for text that isn't the JSON it should be.

    DuckDB takes the text of an Arrow column of JSON as it is, and can't read it later.
    """
    checked = [
        f"CAST(CAST({quote(field.name)} AS VARCHAR) AS JSON) AS {quote(field.name)}"
        for field in schema
        if getattr(field.type, "extension_name", "") == "arrow.json"
    ]
    replaced = f" REPLACE ({', '.join(checked)})" if checked else ""
    return f"SELECT *{replaced} FROM {quote(name)}"


def unread(session: DuckDBSession, schema: pa.Schema) -> BodyFailed:
    """Return the failure of a result with columns of types that DuckDB doesn't read."""
    return failed(
        f"{_list(field.name for field in schema if not _is_read(session, field))} has values of a"
        " type that no table can hold",
        code="wrong_result",
        hint="convert them before they are returned, such as to text",
    )


def _is_read(session: DuckDBSession, field: pa.Field) -> bool:
    with contextlib.suppress(pa.ArrowException, duckdb.Error):
        return bool(session.connection.from_arrow(pa.schema([field]).empty_table()).columns)
    return False


def with_few(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> tuple[pa.RecordBatch | None, Iterator[pa.RecordBatch]]:
    """Return the only batch if there are few rows or none, else None; and all batches.

    The second batch is computed in advance only after a small one.
    """
    first = next(batches, None)
    if first is None:
        none = pa.RecordBatch.from_arrays(
            [pa.array([], kind) for kind in schema.types], schema=schema
        )
        return none, batches
    if first.nbytes > SMALL_BYTES_MAX:
        return None, _chain(first, batches)
    second = next(batches, None)
    if second is None:
        return first, iter((first,))
    return None, _chain(first, _chain(second, batches))


def is_relation(value: Any) -> bool:
    """Return whether the value is a DuckDB relation."""
    return type(value).__name__ == "DuckDBPyRelation" and type(value).__module__ in (
        "duckdb",
        "_duckdb",
    )


def _installed(library: Literal["pandas", "polars"]) -> Any:
    try:
        return __import__(library)
    except ImportError as error:
        raise failed(
            f"{library} isn't installed",
            code="wrong_result",
            hint=f"pip install 'headrace[{library}]', or ask for pa.Table",
        ) from error


def _frame(value: Any) -> pa.RecordBatchReader | None:
    """Return a whole table of any known kind as a stream, or None for other values."""
    if isinstance(value, pa.RecordBatchReader):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(value.schema, [value])
    if isinstance(value, pa.Table):
        return value.to_reader()
    if _is(value, "pandas", "DataFrame"):
        return _from_pandas(value).to_reader()
    if _is(value, "polars", "LazyFrame"):
        value = value.collect()
    if _is(value, "polars", "DataFrame"):
        return _from_polars(value).to_reader()
    if is_relation(value):
        return value.to_arrow_reader(BATCH_ROWS)
    if (
        _is(value, "pandas", "Series")
        or _is(value, "polars", "Series")
        or not hasattr(value, "__arrow_c_stream__")
    ):
        return None
    try:
        result = pa.RecordBatchReader.from_stream(value)
    except pa.ArrowInvalid:  # a column instead of a table
        return None
    return result if result.schema is not None and len(result.schema) else None


_ONLY_IN_POLARS = re.compile(r"\b(Object|U?Int128)\b")
_NAME = re.compile(r"'[^']*'")


def _is(value: Any, library: str, name: str) -> bool:
    """Return whether the value is an instance of the class; a library not loaded has none."""
    kind = getattr(sys.modules.get(library), name, None)
    return kind is not None and isinstance(value, kind)


def _from_polars(frame: Any) -> pa.Table:
    """Return the frame; Arrow would get the addresses of objects, and lacks some types."""
    lacking = [
        name
        for name, kind in frame.schema.items()
        if _ONLY_IN_POLARS.search(_NAME.sub("", str(kind)))
    ]
    if lacking:
        raise failed(
            f"{_list(lacking)} has values of a type that no table can hold",
            code="wrong_result",
            hint="cast them before they are returned, such as to text or a decimal",
        )
    return frame.to_arrow()


def _from_pandas(frame: Any) -> pa.Table:
    """Return the frame's columns and its named index levels, such as the keys of a groupby."""
    if frame.columns.nlevels > 1:
        raise failed(
            "the frame's columns have several levels",
            code="wrong_result",
            hint="flatten them: frame.columns = ['_'.join(c) for c in frame.columns]",
        )
    named = [name for name in frame.index.names if name is not None]
    try:
        frame = frame.reset_index(level=named) if named else frame
        table = pa.Table.from_pandas(
            frame.set_axis([str(name) for name in frame.columns], axis=1), preserve_index=False
        )
        for position, kind in enumerate(frame.dtypes):
            if kind.name == "object":
                values = frame.iloc[:, position].dropna().tolist()
                _require_whole(values, table.field(position).type)
    except _MISFITS as error:
        raise _misfit_of_frame(frame) from error
    return table


def _misfit_of_frame(frame: Any) -> BodyFailed:
    """Return the failure of the first column of a pandas frame that can't be stored."""
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if hasattr(column.dtype, "subtype") and hasattr(column.dtype, "fill_value"):
            return failed(
                f"column `{name}` is sparse",
                code="wrong_result",
                hint=f"make it dense before it is returned: frame[{name!r}].sparse.to_dense()",
            )
        try:
            _require_whole(column.dropna().tolist(), pa.Array.from_pandas(column).type)
        except _MISFITS:
            return _misfit(str(name), column.tolist(), whole=True)
    return failed(
        "the frame can't be stored",
        code="wrong_result",
        hint="a column has one name and holds values of one type",
    )


def _rows(
    value: Any, known: pa.Schema | None, declared: Callable[[], pa.Schema | None]
) -> pa.RecordBatchReader:
    batches = _batches(_items(value), known)
    first = next(batches, None)
    if first is None:
        columns = declared() if known is None else known
        if columns is None:
            raise failed(
                "nothing was returned, so the columns aren't known",
                code="wrong_result",
                hint=(
                    "declare them with their types (`columns:`), or return an empty Arrow table"
                    " with its schema"
                ),
            )
        return pa.RecordBatchReader.from_batches(columns, [])
    return pa.RecordBatchReader.from_batches(first.schema, _chain(first, batches))


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    del first
    yield from rest


def _items(value: Any) -> Iterator[Any]:
    """Return the items of a list or iterator. Raises `BodyFailed` for other values."""
    if inspect.iscoroutine(value) or inspect.isasyncgen(value):
        if inspect.iscoroutine(value):
            value.close()  # otherwise Python warns later that it was never awaited
        raise failed(
            "the function is `async`; a body is an ordinary function",
            code="wrong_result",
            hint="use asyncio.run(…) inside it",
        )
    if value is None:
        raise failed(
            "the function returned nothing",
            code="wrong_result",
            hint=f"return {ACCEPTED}; an asset that only has effects says materialize: none",
        )
    if not isinstance(value, (list, tuple, Iterator)):
        raise failed(
            f"the function returned {_named(value)} instead of a table",
            code="wrong_result",
            hint=f"return {ACCEPTED}",
        )
    return iter(value)


def _batches(items: Iterator[Any], known: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    """Return batches of one schema: that of the first dicts or of the first frame."""
    schema: pa.Schema | None = None
    for group in _grouped(items):
        for batch in _dicts(group, schema, known) if isinstance(group, list) else group:
            schema = schema or batch.schema
            yield batch if batch.schema == schema else _fitted(batch, schema)


def _grouped(items: Iterator[Any]) -> Iterator[list[Mapping[str, Any]] | pa.RecordBatchReader]:
    """Group dicts into lists of at most `BATCH_ROWS`; frames become streams. The order is kept."""
    rows: list[Mapping[str, Any]] = []
    for item in items:
        if isinstance(item, Mapping):
            rows.append(item)
            if len(rows) == BATCH_ROWS:
                yield rows
                rows = []
            continue
        if rows:
            yield rows
            rows = []
        yield _one_frame(item)
    if rows:
        yield rows


def _one_frame(item: Any) -> pa.RecordBatchReader:
    result = _frame(item)
    if result is None:
        raise failed(
            f"the iterator gave {_named(item)} instead of a dict or a table",
            code="wrong_result",
            hint=f"yield {ACCEPTED}",
        )
    return result


def _dicts(
    rows: list[Mapping[str, Any]], schema: pa.Schema | None, known: pa.Schema | None
) -> list[pa.RecordBatch]:
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        if not isinstance(name, str):
            raise failed(
                f"a dict has a key that is {_named(name)}; columns are called by text",
                code="wrong_result",
            )
    if schema is None:
        return [
            pa.RecordBatch.from_arrays(
                [_column(name, rows, known) for name in names], names=list(names)
            )
        ]
    if new := [name for name in names if name not in schema.names]:
        raise failed(
            f"a later row has {_list(new)}, which the first rows lack",
            code="wrong_result",
            hint="give every row the same keys; None where there is no value",
        )
    return [pa.RecordBatch.from_arrays([_typed(field, rows) for field in schema], schema=schema)]


def _column(name: str, rows: list[Mapping[str, Any]], known: pa.Schema | None) -> pa.Array:
    """Return a column of the first rows, in the table's type, or else in the type of its values."""
    values = [row.get(name) for row in rows]
    arrow_type = known.field(name).type if known is not None and name in known.names else None
    if arrow_type is not None and not pa.types.is_null(arrow_type):
        try:
            return _exact_array(values, arrow_type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            pass  # the values decide the type, and staging reports whether it can be cast
    result = _array(name, values, None)
    if (
        pa.types.is_decimal128(result.type) and result.type.scale >= 0
    ):  # later rows may have more digits
        return result.cast(pa.decimal128(_DECIMAL_DIGITS_MAX, result.type.scale))
    return result


def _typed(field: pa.Field, rows: list[Mapping[str, Any]]) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    if pa.types.is_null(field.type) and any(value is not None for value in values):
        raise failed(
            f"column `{field.name}` had no value in the first {BATCH_ROWS} rows, so its type isn't"
            " known",
            code="wrong_result",
            hint="declare it under `columns:`, or yield Arrow batches with a schema",
        )
    return _array(field.name, values, field.type)


def _array(name: str, values: list[Any], arrow_type: pa.DataType | None) -> pa.Array:
    try:
        return _exact_array(values, arrow_type)
    except _MISFITS as error:
        whole = arrow_type is None or pa.types.is_integer(arrow_type)
        raise _misfit(name, values, whole=whole) from error


_MISFITS = (pa.ArrowException, OverflowError, TypeError, ValueError)
OTHER_OBJECTS = "objects that no column can hold"
_KINDS = {
    bool: "true or false",
    int: "whole numbers",
    float: "numbers with a fraction",
    Decimal: "decimal numbers",
    str: "text",
    bytes: "bytes",
    date: "dates",
    datetime: "points in time",
    time: "times of day",
    timedelta: "durations",
    dict: "structures",
    list: "lists",
    tuple: "lists",
}
"""What values are in messages. Neither Arrow's text nor a value: a reader may not see it."""
_NAMED = {
    "NaTType": "NaT, which is no time",
    "datetime64": "points in time of NumPy",
    "timedelta64": "durations of NumPy",
    "Period": "periods",
    "Interval": "intervals",
}
"""Classes of NumPy and pandas, some of which derive from Python's numbers and times."""


def _misfit(name: str, values: Iterable[Any], *, whole: bool) -> BodyFailed:
    """Return the failure of a column whose values can't be stored, with their kinds.

    With `whole`, the column has no type that holds larger numbers than BIGINT does.
    """
    known = [value for value in values if value is not None]
    kinds = list(dict.fromkeys(map(_kind, known)))
    hint = "a column holds values of one type: convert them before they are returned"
    if whole and any(
        isinstance(value, int) and not -BIGINT_BEYOND <= value < BIGINT_BEYOND for value in known
    ):
        fault = "has a whole number that is too large for BIGINT"
        hint = "return it as decimal.Decimal (at most 38 digits) or as text"
    elif len(kinds) > 1:
        fault = f"has values of different kinds: {', '.join(kinds[:KINDS_MAX])}"
    else:
        fault = f"has {kinds[0] if kinds else 'values'}, which don't all fit into its type"
    return failed(f"column `{name}` {fault}", code="wrong_result", hint=hint)


def _kind(value: Any) -> str:
    if (named := _NAMED.get(type(value).__name__)) is not None:
        return named
    if isinstance(value, datetime | time) and value.tzinfo is not None:
        return f"{_KINDS[datetime if isinstance(value, datetime) else time]} with a zone"
    known = (_KINDS[each] for each in type(value).__mro__ if each in _KINDS)
    numbers = "whole numbers" if isinstance(value, Integral) else _KINDS[float]
    return next(known, numbers if isinstance(value, Real) else OTHER_OBJECTS)


_NEVER_CUT = {int, bool, str, bytes, date, NoneType}


def _exact_array(values: list[Any], arrow_type: pa.DataType | None) -> pa.Array:
    """Return the values in a type, or in the type of the values.

    Raises ValueError for a value that the type can't hold: `pa.array` makes 1 of 1.5 where whole
    numbers are wanted, drops the time of day of a date, nanoseconds of pandas and the zone of a
    time of day, and takes times without a zone for UTC beside those that have one.
    """
    result = pa.array(values, arrow_type)
    _require_whole(values, result.type)
    return result


def _require_whole(values: list[Any], arrow_type: pa.DataType) -> None:
    is_cut = _cut_test(arrow_type)
    if is_cut is not None and _any_cut(values, is_cut):
        raise ValueError("a value would be cut")


def _any_cut(values: Sequence[Any], is_cut: Callable[[Any], bool]) -> bool:
    return not _NEVER_CUT.issuperset(map(type, values)) and any(map(is_cut, values))


def _cut_test(arrow_type: pa.DataType) -> Callable[[Any], bool] | None:
    """Return whether `pa.array` cuts a value off for a type; None if it never does."""
    if pa.types.is_integer(arrow_type):
        return _has_fraction
    if pa.types.is_date(arrow_type):
        return _has_time
    if pa.types.is_temporal(arrow_type):
        return _time_test(zoned=_has_zone(arrow_type))
    if pa.types.is_struct(arrow_type):
        return _struct_test(arrow_type)
    is_list = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    of_item = _cut_test(arrow_type.value_type) if is_list else None
    return of_item and (lambda value: value is not None and _any_cut(value, of_item))


def _time_test(*, zoned: bool) -> Callable[[Any], bool]:
    return lambda value: (
        type(value).__name__ != "NaTType"
        and (
            _has_nanoseconds(value)
            or (isinstance(value, datetime | time) and (value.tzinfo is not None) != zoned)
        )
    )


def _struct_test(arrow_type: pa.StructType) -> Callable[[Any], bool]:
    tests = {field.name: test for field in arrow_type if (test := _cut_test(field.type))}
    return lambda value: (
        isinstance(value, Mapping)
        and any(is_cut(value.get(name)) for name, is_cut in tests.items())
    )


def _has_fraction(value: Any) -> bool:
    return isinstance(value, Real | Decimal) and value % 1 != 0


def _has_time(value: Any) -> bool:
    if not isinstance(value, datetime):
        return False
    return value.time() != time.min or _has_nanoseconds(value)  # a ValueError for NaT


def _has_nanoseconds(value: Any) -> bool:
    """Return whether a point in time or a duration of pandas has some beside its microseconds."""
    return bool(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0))


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if missing := [name for name in schema.names if name not in batch.schema.names]:
        raise failed(
            f"a later batch lacks {_list(missing)}",
            code="wrong_result",
            hint="give every batch the same columns",
        )
    if new := [name for name in batch.schema.names if name not in schema.names]:
        raise failed(
            f"a later batch has {_list(new)}, which the first lacks",
            code="wrong_result",
            hint="give every batch the same columns",
        )
    try:
        return _cast(batch.select(schema.names), schema)
    except (pa.ArrowException, ValueError) as error:
        other = _list(
            field.name for field in schema if batch.schema.field(field.name).type != field.type
        )
        raise failed(
            f"{other} of a later batch doesn't fit its type in the first",
            code="wrong_result",
            hint="give every batch the same types",
        ) from error


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch in a schema's types; unlike Arrow, drop no time of day and no zone."""
    result = batch.cast(schema)
    for before, after in zip(batch.columns, result.columns, strict=True):
        if pa.types.is_timestamp(after.type) and _has_zone(before.type) != _has_zone(after.type):
            raise ValueError("a time without a zone is no point in time")
        to_dates = pa.types.is_timestamp(before.type) and pa.types.is_date(after.type)
        if to_dates and not after.cast(before.type).equals(before):
            raise ValueError("times of day don't fit into dates")
    return result


def _names_once(schema: pa.Schema) -> None:
    if not len(schema):
        raise failed("the result has 0 columns", code="wrong_result", hint=f"return {ACCEPTED}")
    seen: set[str] = set()
    for name in schema.names:
        if name.lower() in seen:
            raise failed(
                f"the result has the column `{name}` more than once (case doesn't count)",
                code="wrong_result",
                hint="rename one",
            )
        seen.add(name.lower())


def _has_zone(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is not None


_SINGLE = {
    type(None): "nothing",
    type: "a class",
    bool: "true or false",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    str: "text",
    bytes: "bytes",
    dict: "a single dict",
    list: "a list",
    tuple: "a list",
}
_LIBRARIES = {"numpy": "NumPy", "pandas": "pandas", "polars": "Polars", "pyarrow": "Arrow"}


def _named(value: Any) -> str:
    """Return what a value is, in words; libraries name their classes for themselves."""
    kind = type(value)
    single = next((_SINGLE[base] for base in kind.__mro__ if base in _SINGLE), None)
    library = _LIBRARIES.get(kind.__module__.partition(".")[0])
    noun = "an array" if kind.__name__.lower().endswith("array") else "a value"
    noun = "a Series" if kind.__name__ == "Series" else noun
    return single or (f"{noun} of {library}" if library else f"a `{kind.__qualname__}`")


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
