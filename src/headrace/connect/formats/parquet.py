"""Parquet: it states its columns and types itself; what must be compared is whether they hold what
was promised without loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.connect.deliveries import (
    PRINTABLE_CHARACTERS_MAX,
    BadColumn,
    CannotRead,
    Format,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    error_text,
    printable,
)
from headrace.connect.formats.headers import column_names, doubled_names
from headrace.connect.formats.registry import FileHeader, FormatKind
from headrace.connect.formats.text_values import drift_of
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.lake.types import (
    DECIMAL_DIGITS_MAX,
    DOUBLE_EXACT_MAX,
    Type,
    decimal_of,
    parse,
    storable,
    widens,
)
from headrace.model.errors import LakeError
from headrace.model.texts import marked

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MAGIC = b"PAR1"
NANOSECONDS = "TIMESTAMP_NS"
WHOLE_NUMBERS = frozenset(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
)
TIMESTAMPS = frozenset(("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP"))


class Parquet(FormatKind):
    """Columns with types in a footer."""

    name = "parquet"
    endings: tuple[str, ...] = (".parquet", ".pq")
    unmistakable = True

    def unfold(
        self,
        opened: Opened,
        temporary: Path,  # noqa: ARG002
        bounds: UnpackLimits,  # noqa: ARG002
        pinned: SourceSchema | None,  # noqa: ARG002
    ) -> Opened:
        """Return the file as it is."""
        return opened

    def inspect(self, opened: Opened, *, known: bool) -> int | None:  # noqa: ARG002
        """Refuse files that don't begin and end like Parquet."""
        path = Path(opened.path)
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(max(0, path.stat().st_size - 4))
            end = file.read(4)
        if not start:
            raise CannotRead("the file is empty", code="delivery_empty")
        if start == b"PARE":
            raise CannotRead("the Parquet file is encrypted", code="delivery_encrypted")
        if start != MAGIC:
            raise CannotRead("isn't a Parquet file: its first bytes aren't PAR1")
        if end != MAGIC or path.stat().st_size < 12:
            raise CannotRead(
                "the Parquet file is truncated: its footer is missing", code="delivery_truncated"
            )
        return None

    def header(
        self,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        form: Format,  # noqa: ARG002
    ) -> FileHeader:
        """Return the names and types in the footer; no type for a column that has only nulls.

        pandas and polars give a column without any value the type of nothing.
        """
        import duckdb

        from headrace.lake.arrow_types import lost_in_file

        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {_source(opened)}").fetchall()
            rows = connection.execute(f"SELECT count(*) FROM {_source(opened)}").fetchone()
        except (duckdb.OutOfMemoryException, duckdb.InterruptException):
            raise
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise CannotRead(_unreadable(error, opened, "its footer")) from error
        leaves = tuple(_leaves(connection, opened))
        _require_exact(opened, leaves)
        if lost := lost_in_file(connection, opened.path):
            raise CannotRead(
                f"column {printable(lost[0])} has {lost[1]}: deliver it as text, or as a number"
                " whose name says what it counts"
            )
        _require_keys_once(connection, opened, described)
        names = [row[0] for row in described]
        return FileHeader(
            column_names(names),
            doubled=doubled_names(names),
            types=tuple(_stated(name, kind, leaves) for name, kind, *_ in described),
            rows=rows[0] if rows else None,
        )

    def learn(
        self, connection: duckdb.DuckDBPyConnection, opened: Opened
    ) -> tuple[SourceSchema, FileHeader]:
        """Use the file's own types; timestamps of any precision become microseconds.

        Those with nanoseconds are text.
        """
        header = self.header(connection, opened, Format(kind=self.name))
        types = ["TIMESTAMP" if kind in TIMESTAMPS else _of_unknown(kind) for kind in header.types]
        exact = [
            f"bool_or({_inexact(f'c{n}', kind, 'TIMESTAMP')})"
            for n, kind in enumerate(header.types, 1)
        ]
        if NANOSECONDS in header.types:
            row = connection.execute(
                f"SELECT {', '.join(exact)} FROM {_rows_sql(opened, header)}"
            ).fetchone()
            assert row is not None
            types = ["VARCHAR" if cut else kind for kind, cut in zip(types, row, strict=True)]
        return (
            SourceSchema(
                tuple(
                    LakeColumn(name, kind, 0)
                    for name, kind in zip(header.names, types, strict=True)
                ),
                Format(kind=self.name),
            ),
            header,
        )

    def select_sql(
        self,
        opened: Opened,
        form: Format,  # noqa: ARG002
        header: FileHeader,
        columns: Sequence[LakeColumn],
    ) -> str:
        """Select `columns` by name, cast to wider pinned types.

        NULL for columns that the file lacks.
        """
        at = {
            name: (position, kind)
            for position, (name, kind) in enumerate(zip(header.names, header.types, strict=True), 1)
        }
        values = []
        for column in columns:
            position, kind = at.get(column.name, (None, column.type))
            value = (
                f"CAST(NULL AS {column.type})"
                if position is None or not kind
                else _value(f"c{position}", kind, column.type)
            )
            values.append(f"{value} AS {quote(column.name)}")
        return f"SELECT {', '.join(values)} FROM {_rows_sql(opened, header)}"

    def mismatch(self, header: FileHeader, pinned: SourceSchema) -> TypeDrift | None:
        """Return the types that can't be cast to the pinned ones without loss."""
        states = dict(zip(header.names, header.types, strict=True))
        bad = [
            column
            for column in pinned.columns
            if states.get(column.name) and not _all_held(states[column.name], column.type)
        ]
        if not bad:
            return None
        listed = "; ".join(
            _apart(column.name, states[column.name], column.type) for column in bad[:5]
        )
        more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        columns = tuple(
            LakeColumn(column.name, _of_both(column.type, states.get(column.name)), column.id)
            for column in pinned.columns
        )
        return TypeDrift(
            tuple(
                BadColumn(column.name, column.type, 0, printable(states[column.name]))
                for column in bad
            ),
            listed + more,
            SourceSchema(columns, pinned.format, pinned.pinned_by, pinned.optional),
        )

    def explain(
        self,
        error: Exception,
        connection: duckdb.DuckDBPyConnection,
        opened: Opened,
        schema: SourceSchema,
        header: FileHeader,
    ) -> TypeDrift | UnreadableFile:
        """Explain values outside the pinned type's range.

        Any other error means that the file is damaged.
        """
        import duckdb

        types = {column.name: column.type for column in schema.columns}
        states = dict(zip(header.names, header.types, strict=True))
        cast = _cast_columns(header, types)
        if isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException) and cast:
            facts = []
            for c, name in cast:
                bad = (
                    f"{c} IS NOT NULL AND (TRY_CAST({c} AS {types[name]}) IS NULL OR"
                    f" {_inexact(c, states[name], types[name])})"
                )
                facts.append(
                    f"count(*) FILTER ({bad}), CAST(any_value({c}) FILTER ({bad}) AS VARCHAR)"
                )
            row = connection.execute(
                f"SELECT {', '.join(facts)} FROM {_rows_sql(opened, header)}"
            ).fetchone()
            assert row is not None
            counts = zip(cast, row[::2], row[1::2], strict=True)
            bad_ones = [
                BadColumn(name, types[name], count, printable(value))
                for (_, name), count, value in counts
                if count
            ]
            if bad_ones:
                return drift_of(bad_ones)
        return UnreadableFile(_unreadable(error, opened, "its values"))


_AT_FAULT = {
    "Invalid string encoding": "a text in the Parquet file isn't UTF-8",
    "Invalid JSON": "a value in the Parquet file isn't the JSON that its column declares",
    "Could not convert Timestamp": "a time in the Parquet file is after the year 294247, or before"
    " -290308: microseconds don't reach so far",
}
"""What DuckDB's errors about values of a whole file hold → what is wrong."""


def _unreadable(error: Exception, opened: Opened, part: str) -> str:
    """Return why a file can't be read. What DuckDB says of a damaged one is about its own code."""
    import duckdb

    text = str(error)
    if isinstance(error, duckdb.NotImplementedException):
        return f"the Parquet file can't be read: {error_text(error, opened.path)}"
    return next(
        (words for message, words in _AT_FAULT.items() if message in text),
        f"the Parquet file is damaged: {part} can't be read",
    )


def _cast_columns(header: FileHeader, types: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the place and name of each column whose values are read as another type."""
    return [
        (f"c{n}", name)
        for n, (name, kind) in enumerate(zip(header.names, header.types, strict=True), 1)
        if kind and types.get(name, kind) != kind
    ]


# Writers such as polars give a list without any element the type of nothing, which DuckDB calls
# INTEGER[]. Such parts of a type are NOTHING, which any pinned type holds.

NOTHING = Type("NULL")


def _stated(name: str, kind: str, leaves: Sequence[_Leaf]) -> str:
    """Return the type of a column, empty if it has only nulls, with NOTHING for such parts."""
    logical = [stated for column, physical, _, stated in leaves if column == name and physical]
    if "NullType()" not in logical:
        return _stored(kind, name)
    following = iter(logical)
    stated = _each_part(
        parse(kind), lambda part: NOTHING if next(following, "") == "NullType()" else part
    )
    return "" if stated == NOTHING else stated.text


def _of_unknown(kind: str) -> str:
    """Return the type for a column of which the file states this one: text where it has nothing."""
    return _each_part(
        parse(kind) if kind else NOTHING,
        lambda part: Type("VARCHAR") if part == NOTHING else part,
    ).text


def _each_part(kind: Type, changed: Callable[[Type], Type]) -> Type:
    """Return a type with each part that has no parts of its own replaced."""
    if not kind.fields:
        return changed(kind)
    return Type(kind.name, tuple((name, _each_part(part, changed)) for name, part in kind.fields))


def _apart(name: str, states: str, pinned: str) -> str:
    """Return a clause about two types: long ones without the begin that they have in common."""
    pairs = enumerate(zip(states, pinned, strict=False))
    same = next((place for place, (now, was) in pairs if now != was), 0)
    if same >= PRINTABLE_CHARACTERS_MAX // 2:
        start = states.rfind(", ", 0, same) + 2
        states, pinned = f"… {states[start:]}", f"… {pinned[start:]}"
    return f"column {printable(name)} is {printable(states)}, {printable(pinned)} is pinned"


def _all_held(states: str, pinned: str) -> bool:
    return holds(_filled(parse(states), parse(pinned)), parse(pinned))


def _filled(states: Type, pinned: Type) -> Type:
    """Return the file's type, with the pinned type's parts where it has nothing."""
    if states == NOTHING:
        return pinned
    if [name for name, _ in states.fields] != [name for name, _ in pinned.fields]:
        return states
    pairs = zip(states.fields, pinned.fields, strict=True)
    return Type(
        states.name, tuple((name, _filled(part, known)) for (name, part), (_, known) in pairs)
    )


def holds(states: Type, pinned: Type) -> bool:
    """Whether the pinned type has an exact value, or an error, for each value of the file's type.

    Errors are whole numbers that are out of range or too large for a double.
    """
    if pinned.name == "VARCHAR" and (states.name == "BLOB" or states.fields):
        return False  # the text would be one of DuckDB's: escapes, or `{'a': 1}`
    if states == pinned or widens(states, pinned) or pinned.name in ("VARCHAR", "JSON"):
        return pinned.name != "JSON" or states.name == "JSON" or bool(states.fields)
    if states.fields or pinned.fields:
        return False
    if states.name in WHOLE_NUMBERS:
        return (
            pinned.name in WHOLE_NUMBERS
            or pinned.name == "DOUBLE"
            or pinned.name.startswith("DECIMAL")
        )
    if states.name == "DATE":
        return pinned.name in TIMESTAMPS
    return states.name in TIMESTAMPS and pinned.name in TIMESTAMPS


def _of_both(pinned: str, states: str | None) -> str:
    """Return the type that reads a column whose type isn't the pinned one.

    It is the file's type; a decimal becomes one that holds the pinned type's numbers too.
    """
    if not states:
        return pinned
    states = _filled(parse(states), parse(pinned)).text
    result = decimal_of(parse(pinned), parse(states)) if states.startswith("DECIMAL") else None
    return states if result is None else result.text


def _value(column: str, states: str, pinned: str) -> str:
    """Return SQL for the column in the pinned type.

    A number that isn't exact there raises an error.
    """
    if states == pinned:
        return column
    inexact = _inexact(column, states, pinned)
    cast = f"CAST({column} AS {pinned})"
    return (
        cast
        if inexact == "false"
        else (f"CASE WHEN {inexact} THEN error('a value isn''t exact as {pinned}') ELSE {cast} END")
    )


def _inexact(column: str, states: str, pinned: str) -> str:
    if states in WHOLE_NUMBERS and pinned == "DOUBLE":
        return f"{column} NOT BETWEEN -{DOUBLE_EXACT_MAX} AND {DOUBLE_EXACT_MAX}"
    if states == NANOSECONDS and pinned == "TIMESTAMP":
        return f"epoch_ns({column}) % 1000 <> 0"
    return "false"


_Leaf = tuple[str, str, int, str]
"""Column, physical type, precision and logical type of an element of the footer's schema."""
_CUT = ("TimeType", "isAdjustedToUTC=1")
"""Logical types whose nanoseconds DuckDB cuts."""


def _require_exact(opened: Opened, leaves: Sequence[_Leaf]) -> None:
    """Raise CannotRead for values that DuckDB 1.5.5 would bend without an error.

    It scales decimals of more than 38 digits wrong, and cuts nanoseconds of times of the day, of
    points in time with a zone and of INT96.
    """
    fine = []
    for column, physical, precision, logical in leaves:
        if precision > DECIMAL_DIGITS_MAX:
            raise CannotRead(
                f"column {printable(column)} has decimals of {precision} digits; at most"
                f" {DECIMAL_DIGITS_MAX} can be ingested"
            )
        if physical == "INT96" or (
            "NanoSeconds" in logical and any(each in logical for each in _CUT)
        ):
            fine.append(column)
    if fine:
        _require_microseconds(Path(opened.path), tuple(dict.fromkeys(fine)))


def _require_keys_once(
    connection: duckdb.DuckDBPyConnection, opened: Opened, described: Sequence[Sequence[str]]
) -> None:
    """Raise CannotRead for a map that has a key twice, which Parquet allows and DuckDB doesn't."""
    for name, kind, *_ in described:
        if "MAP(" in kind:
            repeated = _repeats_keys(parse(kind), quote(name), 0)
            sql = f"SELECT count(*) FROM {_source(opened)} WHERE {repeated}"
            if connection.execute(sql).fetchall() != [(0,)]:
                raise CannotRead(f"column {printable(name)} has a map with a key twice")


def _repeats_keys(kind: Type, value: str, depth: int) -> str:
    """Return SQL for whether a map in a value has a key twice."""
    item, is_map = f"v{depth}", kind.name == "MAP"
    conditions = ["false"]
    if is_map:
        conditions.append(f"len(list_distinct(map_keys({value}))) < cardinality({value})")
    for name, part in kind.fields:
        if kind.name == "STRUCT":
            field = f"struct_extract({value}, {literal(name)})"
            conditions.append(_repeats_keys(part, field, depth))
        else:
            items = f"map_{name}s({value})" if is_map else value
            each = f"lambda {item}: {_repeats_keys(part, item, depth + 1)}"
            conditions.append(f"list_bool_or(list_transform({items}, {each}))")
    return " OR ".join(f"coalesce({condition}, false)" for condition in conditions)


def _leaves(connection: duckdb.DuckDBPyConnection, opened: Opened) -> Iterator[_Leaf]:
    """Yield each element of the footer's schema, after the name of its column."""
    rows = connection.execute(
        "SELECT name, coalesce(num_children, 0), coalesce(type, ''), coalesce(precision, 0),"
        f" coalesce(logical_type, '') FROM parquet_schema({literal(opened.path)})"
    ).fetchall()
    column, parts = "", 0
    for name, children, *stated in rows[1:]:
        if not parts:
            column, parts = name, 1
        parts += children - 1
        yield column, *stated


def _require_microseconds(path: Path, columns: Sequence[str]) -> None:
    """Raise CannotRead for the first time among these columns that has nanoseconds."""
    import pyarrow as pa
    from pyarrow import parquet

    with pa.OSFile(str(path)) as source:
        file = parquet.ParquetFile(source)
        cut = parquet.ParquetFile(source, coerce_int96_timestamp_unit="us")
        for name in columns:
            each = zip(
                file.iter_batches(columns=[name]), cut.iter_batches(columns=[name]), strict=True
            )
            for batch, of_microseconds in each:
                _refuse_nanoseconds(name, batch.column(0), of_microseconds.column(0))


def _refuse_nanoseconds(name: str, values: pa.Array, cut: pa.Array) -> None:
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_nested(values.type):
        for inner, of_microseconds in zip(_parts(values), _parts(cut), strict=True):
            _refuse_nanoseconds(name, inner, of_microseconds)
        return
    if not pa.types.is_temporal(values.type) or values.type.unit != "ns":
        return
    numbers, whole = values.cast(pa.int64()), cut.cast(pa.int64())
    if values.type == cut.type:
        whole = compute.divide(numbers, 1_000)
    # INT96 holds years that nanoseconds of 64 bits don't: both products are cut alike
    wrong = compute.not_equal(numbers, compute.multiply(whole, 1_000))
    first = compute.index(wrong, True).as_py()
    if first >= 0:
        value = values[first].cast(pa.string()).as_py()
        raise CannotRead(
            f"column {printable(name)} has nanoseconds ({marked(value)}); times are kept to the"
            " microsecond"
        )


def _parts(values: pa.Array) -> Sequence[pa.Array]:
    """Return the arrays that a nested array consists of."""
    import pyarrow as pa

    if pa.types.is_map(values.type):
        return [values.keys, values.items]
    return values.flatten() if pa.types.is_struct(values.type) else [values.flatten()]


def _stored(kind: str, name: str) -> str:
    """Return the type with which the lake stores the column."""
    try:
        return storable(parse(kind), name).text
    except LakeError as error:
        raise CannotRead(
            f"column {printable(name)} has type {printable(kind)}, which can't be ingested"
        ) from error


def _source(opened: Opened) -> str:
    return f"read_parquet({literal(opened.path)}, hive_partitioning=false)"


def _rows_sql(opened: Opened, header: FileHeader) -> str:
    return (
        f"{_source(opened)} AS"
        f" rows({', '.join(f'c{position}' for position in range(1, len(header.names) + 1))})"
    )
