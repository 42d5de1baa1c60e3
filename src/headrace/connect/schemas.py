"""Schemas of deliveries: merging those of several files, and reading files with other columns."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.connect.deliveries import (
    AlmostTyped,
    Disagreement,
    Drift,
    Format,
    Lesson,
    SourceSchema,
)
from headrace.connect.formats.registry import FileHeader, FormatKind, reader
from headrace.connect.formats.structures import NO_VALUES, merged, wider_type
from headrace.connect.raw_files import Opened
from headrace.connect.text_files import UTF8
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.lake.types import parse
from headrace.model.errors import FRACTIONS
from headrace.model.nodes import ContractColumn

if TYPE_CHECKING:
    import duckdb


# Merging the schemas of several files of a source, and applying its contract.

BY_CONTRACT = "contract"
TEXT, DATES = "VARCHAR", ("DATE", "TIMESTAMP")


def widened(schema: SourceSchema, other: SourceSchema | None) -> SourceSchema:
    """Return `schema` with types that also hold the other's values."""
    if other is None:
        return schema
    apart = set(other.names) ^ set(schema.names)
    if apart and not reader(schema.format.kind).of_records:
        return schema
    types = {column.name: column.type for column in other.columns}
    columns = tuple(
        LakeColumn(
            column.name, wider_type(column.type, types.get(column.name, column.type)), column.id
        )
        for column in schema.columns
    )
    columns += tuple(column for column in other.columns if column.name not in schema.names)
    optional = dict.fromkeys(
        (
            *schema.optional,
            *other.optional,
            *(column.name for column in columns if column.name in apart),
        )
    )
    form = msgspec.structs.replace(
        schema.format,
        null=tuple(dict.fromkeys((*schema.format.null, *other.format.null))),
        date_format=schema.format.date_format or other.format.date_format,
        timestamp_format=schema.format.timestamp_format or other.format.timestamp_format,
    )
    theirs = {item.column: item for item in other.inside}
    inside = [
        merged(item, theirs.pop(item.column)) if item.column in theirs else item
        for item in schema.inside
    ]
    return msgspec.structs.replace(
        schema,
        columns=columns,
        format=form,
        optional=tuple(optional),
        inside=(*inside, *theirs.values()),
    )


def agreed(schemas: Sequence[SourceSchema]) -> SourceSchema:
    """Merge the schemas of several deliveries into one whose types hold the values of all.

    The first delivery's schema is the base. A column that would be text takes the narrower type
    that most deliveries with values in it agree on: otherwise one broken value in one of many
    deliveries would make the column text for all of them. Reading that delivery then reports the
    broken value.
    """
    first, *others = schemas
    schema = first
    for other in others:
        schema = widened(schema, other)
    alike = _alike(schemas)
    columns = tuple(
        (
            LakeColumn(column.name, _of_most(column.name, alike) or TEXT, column.id)
            if column.type in (TEXT, NO_VALUES)
            else column
        )
        for column in schema.columns
    )
    return msgspec.structs.replace(schema, columns=columns)


def _alike(schemas: Sequence[SourceSchema]) -> list[SourceSchema]:
    """Return the schemas with the first one's columns; records may leave columns out."""
    first = schemas[0]
    if reader(first.format.kind).of_records:
        return list(schemas)
    return [schema for schema in schemas if set(schema.names) == set(first.names)]


def without_values(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    schema: SourceSchema,
    header: FileHeader,
) -> SourceSchema:
    """Return a file's own schema, with the type NO_VALUES for columns without any value.

    Parquet alone states types of such columns, which stay.
    """
    stated = dict(zip(header.names, header.types, strict=False)) if kind.name == "parquet" else {}
    texts = [
        column.name
        for column in schema.columns
        if column.type == TEXT and not stated.get(column.name)
    ]
    filled = _filled(kind, connection, opened, schema, header, texts) if texts else ()
    return _with_types(schema, dict.fromkeys({*texts} - {*filled}, NO_VALUES))


def _of_most(name: str, schemas: Sequence[SourceSchema]) -> str | None:
    """Return the type narrower than text that over half of the deliveries have for a column.

    None if their dates are written in several formats.
    """
    types = [
        (column.type, schema)
        for schema in schemas
        for column in schema.columns
        if column.name == name and column.type != NO_VALUES
    ]
    narrow = [(type_name, schema.format) for type_name, schema in types if type_name != TEXT]
    if 2 * len(narrow) <= len(types):
        return None
    result = reduce(wider_type, (type_name for type_name, _ in narrow))
    written = {(form.date_format, form.timestamp_format) for _, form in narrow}
    return None if result == TEXT or (result in DATES and len(written) > 1) else result


def disputed(schemas: Sequence[SourceSchema], schema: SourceSchema) -> list[dict[str, str] | None]:
    """Return per delivery the columns whose type differs from the others': column → others' type.

    None stands for a delivery with another header. `schema` is the merged schema.
    """
    alike = _alike(schemas)
    theirs = {column.name: _disputed(column, alike) for column in schema.columns}
    return [_wider_than(schema, theirs) if schema in alike else None for schema in schemas]


def _wider_than(schema: SourceSchema, theirs: Mapping[str, str | None]) -> dict[str, str]:
    """Return the columns whose type isn't covered by the others' type: column → others' type."""
    wider = {}
    for column in schema.columns:
        type_name = theirs.get(column.name)
        if type_name is not None and wider_type(column.type, type_name) != type_name:
            wider[column.name] = type_name
    return wider


def _disputed(column: LakeColumn, schemas: Sequence[SourceSchema]) -> str | None:
    """Return the narrower type if some deliveries have one and others don't, else None."""
    types = [
        lake_column.type
        for schema in schemas
        for lake_column in schema.columns
        if lake_column.name == column.name and lake_column.type != NO_VALUES
    ]
    narrow = [type_name for type_name in types if type_name != TEXT]
    if not narrow or (column.type != TEXT and TEXT not in types):
        return None
    if 2 * len(narrow) < len(types):  # text that happens to hold only numbers on some days
        return None
    if column.type != TEXT:
        return column.type
    together = reduce(wider_type, narrow)
    return together if together != TEXT else narrow[0]


def as_promised(schema: SourceSchema, promised: Sequence[ContractColumn]) -> SourceSchema:
    """Apply the contract's types; columns without a contract type keep the detected type."""
    types = {column.name: parse(column.type).text for column in promised if column.type}
    columns = tuple(
        LakeColumn(column.name, types.get(column.name, column.type), column.id)
        for column in schema.columns
    )
    columns += tuple(
        LakeColumn(column.name, types.get(column.name, "VARCHAR"), 0)
        for column in promised
        if column.name not in schema.names
    )
    return msgspec.structs.replace(schema, columns=columns, pinned_by=BY_CONTRACT)


def with_stated(
    schema: SourceSchema, promised: Sequence[ContractColumn], options: Mapping[str, Any]
) -> SourceSchema:
    """Return the schema that knows whose types a contract or the source's `options` declare."""
    stated = {column.name for column in promised if column.type}
    stated |= {*reader(schema.format.kind).stated(options)}
    form = msgspec.structs.replace(schema.format, stated=tuple(sorted(stated)))
    return msgspec.structs.replace(schema, format=form)


# The evidence for a learnt schema: the deliveries that were read, and the lines where they
# disagree.


class DeliverySchema(NamedTuple):
    """A stored delivery, and the schema that it has on its own."""

    path: Path
    name: str
    schema: SourceSchema


FirstBad = Callable[[DeliverySchema, SourceSchema], Mapping[str, tuple[str, int | None]]]
"""A function that reads a delivery with a schema.

Returns column → its first value that isn't of the schema's type, and the line.
"""


def _disagreements(
    show: DeliverySchema,
    columns: dict[str, str] | None,
    schema: SourceSchema,
    first_bad: FirstBad,
) -> Iterator[Disagreement]:
    if columns is None:
        yield Disagreement(show.name)
        return
    bad = first_bad(show, _with_types(schema, columns)) if columns else {}
    for column, type_name in columns.items():
        value, line = bad.get(column, ("", None))
        yield Disagreement(show.name, column, type_name, value, line)


def lesson_of(
    shows: Sequence[DeliverySchema],
    schema: SourceSchema,
    opened: Opened,
    kind: str,
    *,
    declared_encoding: str,
    promised: bool,
    first_bad: FirstBad,
) -> Lesson:
    """Return the evidence for `schema`, learnt from the deliveries `shows`; `opened` is the first.

    With contract types (`promised`) deliveries can't disagree about types. A delivery that
    disagrees is read once more to find the line.
    """
    disputes = (
        [{} for _ in shows] if promised else disputed([schema.schema for schema in shows], schema)
    )
    disagreed: list[Disagreement] = []
    for delivery_schema, columns in zip(shows, disputes, strict=True):
        disagreed += _disagreements(delivery_schema, columns, schema, first_bad)
    types = {column.name: column.type for column in schema.columns}
    undecided = dict.fromkeys(
        disagreement.column for disagreement in disagreed if types.get(disagreement.column) == TEXT
    )
    declared = opened.options.get(kind)
    options: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {}
    return Lesson(
        deliveries=tuple(schema.name for schema in shows),
        encoding=opened.encoding,
        declared_encoding=declared_encoding,
        undeclared=opened.encoding != UTF8 and not options.get("encoding"),
        header=bool(options.get("header", True)),
        disagreed=tuple(disagreed),
        undecided=tuple(undecided),
    )


def almost_typed(
    show: DeliverySchema,
    schema: SourceSchema,
    columns: Sequence[AlmostTyped],
    classified: Container[str],
    first_bad: FirstBad,
) -> tuple[AlmostTyped, ...]:
    """Add to `columns` the first value that isn't of the inferred type, and its line.

    Values of `classified` columns are left out.
    """
    if not columns:
        return ()
    bad = first_bad(show, _with_types(schema, {column.column: column.type for column in columns}))
    results = []
    for column in columns:
        value, line = bad.get(column.column, ("", None))
        value = "" if column.column in classified else value
        results.append(msgspec.structs.replace(column, delivery=show.name, value=value, line=line))
    return tuple(results)


def _with_types(schema: SourceSchema, types: Mapping[str, str]) -> SourceSchema:
    columns = [
        LakeColumn(column.name, types.get(column.name, column.type), column.id)
        for column in schema.columns
    ]
    return msgspec.structs.replace(schema, columns=tuple(columns))


# Reading a delivery whose columns differ from the pinned ones: renamed, new or missing columns. The
# caller decides whether that is allowed: `prepare` passes the header to `adapt` and follows the
# answer.

_WHOLE = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"}
)


class Adapted(msgspec.Struct, frozen=True):
    """How a file's columns are mapped to the schema's."""

    names: Mapping[str, str]
    """Name in the file → name of the column."""
    added: tuple[str, ...] = ()
    """Names in the file that become new columns."""
    computed: Mapping[str, str] = {}
    """Column → validated SQL over the columns, which replaces the file's values."""


Adapt = Callable[[FileHeader], Adapted | Drift]
"""A function that maps a file's column names; a Drift if a person must decide first."""


def renamed(header: FileHeader, names: Mapping[str, str]) -> FileHeader:
    """Rename a header's columns; an unmapped name that equals a column's name gets a suffix."""
    column_names = set(names.values())
    new_names = tuple(
        names.get(name, f"{name}\0" if name in column_names else name) for name in header.names
    )
    optional = tuple(names.get(name, name) for name in header.optional)
    return msgspec.structs.replace(header, names=new_names, optional=optional)


def computed(rows_of: str, schema: SourceSchema, expressions: Mapping[str, str]) -> str:
    """Return a query that replaces columns by expressions, cast to the columns' types.

    A fraction in a column of whole numbers raises an error; it isn't rounded.
    """
    types = {column.name: column.type for column in schema.columns}
    results = []
    for name, expression in expressions.items():
        kind = types[name]
        value = f"CAST({expression} AS {kind})"
        if kind.upper() in _WHOLE:
            text = literal(f"{name}: {FRACTIONS}, and its type is {kind}")
            exact = f"({expression}) IS NULL OR {value} = ({expression})"
            value = f"CASE WHEN {exact} THEN {value} ELSE CAST(error({text}) AS {kind}) END"
        results.append(f"{value} AS {quote(name)}")
    return f"SELECT * REPLACE ({', '.join(results)}) FROM ({rows_of})"


def with_names(schema: SourceSchema, header: FileHeader) -> SourceSchema:
    """Apply the names of a renamed header to a detected schema; both are in the file's order.

    Columns that only samples have come last.
    """
    width = len(header.names)
    new_names = dict(
        zip((column.name for column in schema.columns[:width]), header.names, strict=True)
    )
    columns = tuple(
        LakeColumn(new_names.get(column.name, column.name), column.type, column.id)
        for column in schema.columns
    )
    inside = tuple(
        msgspec.structs.replace(item, column=new_names.get(item.column, item.column))
        for item in schema.inside
    )
    return msgspec.structs.replace(
        schema,
        columns=columns,
        optional=tuple(new_names.get(name, name) for name in schema.optional),
        inside=inside,
    )


def extended(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    schema: SourceSchema,
    header: FileHeader,
    added: Sequence[str],
) -> SourceSchema:
    """Add new columns to `schema`, with types inferred from their values.

    A column without any value has no type yet and isn't added.
    """
    added = [name for name in added if name not in schema.names]
    filled = _filled(kind, connection, opened, schema, header, added) if added else ()
    if not filled:
        return schema
    shows, _ = kind.learn(connection, opened)
    types = {name: column.type for name, column in zip(header.names, shows.columns, strict=True)}
    new = [LakeColumn(name, types[name], 0) for name in filled]
    form = msgspec.structs.replace(
        schema.format,
        date_format=schema.format.date_format or shows.format.date_format,
        timestamp_format=schema.format.timestamp_format or shows.format.timestamp_format,
    )
    if not can_be_read(kind, connection, opened, form, header, new):
        new = [
            LakeColumn(column.name, column.type if header.types else "VARCHAR", 0) for column in new
        ]
    optional = tuple(
        dict.fromkeys((*schema.optional, *(name for name in filled if name in header.optional)))
    )
    inside = (
        *schema.inside,
        *(item for item in with_names(shows, header).inside if item.column in filled),
    )
    return msgspec.structs.replace(
        schema, columns=(*schema.columns, *new), format=form, optional=optional, inside=inside
    )


def can_be_read(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    form: Format,
    header: FileHeader,
    columns: Sequence[LakeColumn],
) -> bool:
    """Whether all values parse as their columns' types when read in this format.

    One pass over the file. Errors of the machine (memory, disk) are raised.
    """
    import duckdb

    try:
        connection.execute(
            f"SELECT bit_xor(hash(part)) FROM ({kind.select_sql(opened, form, header, columns)}) AS"
            " part"
        ).fetchone()
    except duckdb.Error as error:
        if about_the_machine(error):
            raise
        return False
    return True


def about_the_machine(error: Exception) -> bool:
    """Whether an error is about memory, disk or an interruption rather than about the file."""
    import duckdb

    if isinstance(error, duckdb.IOException):
        return any(
            sign in str(error)
            for sign in (
                "Could not write",
                "Could not create",
                "No space left",
                "Cannot open file",
                "Could not read",
            )
        )
    machine = (
        duckdb.OutOfMemoryException,
        duckdb.InterruptException,
        duckdb.FatalException,
        duckdb.PermissionException,
    )
    return isinstance(error, machine) or not isinstance(error, duckdb.Error)


def _filled(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    schema: SourceSchema,
    header: FileHeader,
    added: Sequence[str],
) -> tuple[str, ...]:
    """Return the columns that have at least one value, whatever type the file states."""
    columns = [LakeColumn(name, "VARCHAR", 0) for name in added]
    rows = kind.select_sql(opened, schema.format, header, columns)
    counts = connection.execute(
        f"SELECT {', '.join(f'count({quote(name)})' for name in added)} FROM ({rows})"
    ).fetchone()
    assert counts is not None
    return tuple(name for name, count in zip(added, counts, strict=True) if count)
