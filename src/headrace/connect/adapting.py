"""A delivery whose columns aren't quite the pinned ones, read all the same: under other names, with columns that are new or missing.

Whether it may be is decided elsewhere; `prepare` asks with the names that it finds, and reads as it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.connect.deliveries import Drift, Format, SourceSchema
from headrace.connect.formats.registry import FileHeader, FormatReader
from headrace.connect.unpack import Opened
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.model.clauses import FRACTIONS

if TYPE_CHECKING:
    import duckdb


_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"})


class Adapted(msgspec.Struct, frozen=True):
    """How a file's columns are read."""

    names: Mapping[str, str]
    """Name in the file → the column that it is."""
    added: tuple[str, ...] = ()
    """Names in the file that become columns."""
    computed: Mapping[str, str] = {}
    """Column → checked SQL over the columns, which takes the place of what the file holds."""


Adapt = Callable[[FileHeader], Adapted | Drift]
"""What the names of a file mean; a Drift where that must be decided first."""


def renamed(header: FileHeader, names: Mapping[str, str]) -> FileHeader:
    """The header with the columns' own names. A name that stands for nothing keeps its own, out of the way of columns' names."""
    taken = set(names.values())
    own = tuple(names.get(name, f"{name}\0" if name in taken else name) for name in header.names)
    optional = tuple(names.get(name, name) for name in header.optional)
    return msgspec.structs.replace(header, names=own, optional=optional)


def computed(rows_of: str, schema: SourceSchema, expressions: Mapping[str, str]) -> str:
    """The rows with these columns computed, each in its column's type. A fraction that a type of whole
    numbers can't hold is an error of the delivery, not rounded."""
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
    """A schema that was detected, with the names of a header that was renamed: both in the file's order. What samples had besides
    comes after that."""
    width = len(header.names)
    own = dict(zip((column.name for column in schema.columns[:width]), header.names, strict=True))
    columns = tuple(LakeColumn(own.get(column.name, column.name), column.type, column.id) for column in schema.columns)
    inside = tuple(msgspec.structs.replace(item, column=own.get(item.column, item.column)) for item in schema.inside)
    return msgspec.structs.replace(schema, columns=columns, optional=tuple(own.get(name, name) for name in schema.optional), inside=inside)


def extended(
    kind: FormatReader,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    schema: SourceSchema,
    header: FileHeader,
    added: Sequence[str],
) -> SourceSchema:
    """`schema` with the columns that came to it, in the types that their values show. One without any value isn't taken yet: it has
    no type."""
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
        new = [LakeColumn(column.name, column.type if header.types else "VARCHAR", 0) for column in new]
    optional = tuple(dict.fromkeys((*schema.optional, *(name for name in filled if name in header.optional))))
    inside = (*schema.inside, *(item for item in with_names(shows, header).inside if item.column in filled))
    return msgspec.structs.replace(schema, columns=(*schema.columns, *new), format=form, optional=optional, inside=inside)


def can_be_read(
    kind: FormatReader,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    form: Format,
    header: FileHeader,
    columns: Sequence[LakeColumn],
) -> bool:
    """Whether each value is of its column's type, read in that form. One pass; what is wrong with the machine is raised."""
    import duckdb

    try:
        connection.execute(f"SELECT bit_xor(hash(part)) FROM ({kind.select_sql(opened, form, header, columns)}) AS part").fetchone()
    except duckdb.Error as error:
        if about_the_machine(error):
            raise
        return False
    return True


def about_the_machine(error: Exception) -> bool:
    """Whether an error says something about memory, disk or an interruption, and nothing about the file that was read."""
    import duckdb

    if isinstance(error, duckdb.IOException):
        return any(
            sign in str(error) for sign in ("Could not write", "Could not create", "No space left", "Cannot open file", "Could not read")
        )
    machine = (duckdb.OutOfMemoryException, duckdb.InterruptException, duckdb.FatalException, duckdb.PermissionException)
    return isinstance(error, machine) or not isinstance(error, duckdb.Error)


def _filled(
    kind: FormatReader,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    schema: SourceSchema,
    header: FileHeader,
    added: Sequence[str],
) -> tuple[str, ...]:
    """Those of the columns that have a value anywhere."""
    stated = dict(zip(header.names, header.types, strict=True)) if header.types else {}
    columns = [LakeColumn(name, stated.get(name) or "VARCHAR", 0) for name in added]
    rows = kind.select_sql(opened, schema.format, header, columns)
    counts = connection.execute(f"SELECT {', '.join(f'count({quote(name)})' for name in added)} FROM ({rows})").fetchone()
    assert counts is not None
    return tuple(name for name, count in zip(added, counts, strict=True) if count)
