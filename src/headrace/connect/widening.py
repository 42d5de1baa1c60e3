"""What several files of a source, or its contract, say of a schema that one of them shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import msgspec

from headrace.connect.deliveries import SourceSchema
from headrace.connect.formats.inside import merged
from headrace.connect.learn import wider
from headrace.lake import LakeColumn
from headrace.lake.types import parse
from headrace.model.nodes import ContractColumn

BY_CONTRACT = "contract"
OF_RECORDS = {"jsonl", "json", "xml"}
"""Kinds of files whose records may leave a column out."""


OF_TEXT = {"csv", "fixed_width"}
"""Kinds of files whose types are learnt from text: one bad value makes a column text."""
TEXT, DATES = "VARCHAR", ("DATE", "TIMESTAMP")


def widened(schema: SourceSchema, other: SourceSchema | None) -> SourceSchema:
    """`schema` with the types that hold the other's values too. Columns that only held nulls so far take the other's type."""
    if other is None:
        return schema
    apart = set(other.names) ^ set(schema.names)
    if apart and schema.format.kind not in OF_RECORDS:
        return schema
    types = {column.name: column.type for column in other.columns}
    columns = tuple(
        LakeColumn(column.name, wider(column.type, types.get(column.name, column.type)), column.id) for column in schema.columns
    )
    columns += tuple(column for column in other.columns if column.name not in schema.names)
    optional = dict.fromkeys((*schema.optional, *other.optional, *(column.name for column in columns if column.name in apart)))
    form = msgspec.structs.replace(
        schema.format,
        null=tuple(dict.fromkeys((*schema.format.null, *other.format.null))),
        date_format=schema.format.date_format or other.format.date_format,
        timestamp_format=schema.format.timestamp_format or other.format.timestamp_format,
    )
    theirs = {item.column: item for item in other.inside}
    inside = [merged(item, theirs.pop(item.column)) if item.column in theirs else item for item in schema.inside]
    return msgspec.structs.replace(schema, columns=columns, format=form, optional=tuple(optional), inside=(*inside, *theirs.values()))


def agreed(schemas: Sequence[SourceSchema]) -> SourceSchema:
    """What several deliveries show together: the first one's schema with types that hold the values of all, and where types
    are learnt from text, with the narrower type that most deliveries agree on.

    One delivery with a broken value among many would else make its column text for all of them. It isn't of the type that
    is returned, so reading it says which line is broken.
    """
    first, *others = schemas
    schema = first
    for other in others:
        schema = widened(schema, other)
    if first.format.kind not in OF_TEXT:
        return schema
    alike = [schema for schema in schemas if set(schema.names) == set(first.names)]
    columns = tuple(
        LakeColumn(column.name, _of_most(column.name, alike) or column.type, column.id) if column.type == TEXT else column
        for column in schema.columns
    )
    return msgspec.structs.replace(schema, columns=columns)


def _of_most(name: str, schemas: Sequence[SourceSchema]) -> str | None:
    """The type narrower than text that more than half of the deliveries show of a column, all written in one way."""
    types = [(column.type, schema) for schema in schemas for column in schema.columns if column.name == name]
    narrow = [(type_name, schema.format) for type_name, schema in types if type_name != TEXT]
    if 2 * len(narrow) <= len(types):
        return None
    result = reduce(wider, (type_name for type_name, _ in narrow))
    written = {(form.date_format, form.timestamp_format) for _, form in narrow}
    return None if result == TEXT or (result in DATES and len(written) > 1) else result


def disputed(schemas: Sequence[SourceSchema], schema: SourceSchema) -> list[dict[str, str] | None]:
    """Of each delivery, the columns of which it shows another type than the others: column → their type. None for one with another
    header. `found` is what they show together. Only where types are learnt from text, which a broken value changes."""
    if schema.format.kind not in OF_TEXT:
        return [{} for _ in schemas]
    alike = [schema for schema in schemas if set(schema.names) == set(schemas[0].names)]
    theirs = {column.name: _disputed(column, alike) for column in schema.columns}
    rows: list[dict[str, str] | None] = []
    for source_schema in schemas:
        if source_schema not in alike:
            rows.append(None)
            continue
        row = {}
        for column in source_schema.columns:
            type_name = theirs.get(column.name)
            if type_name is not None and wider(column.type, type_name) != type_name:
                row[column.name] = type_name
        rows.append(row)
    return rows


def _disputed(column: LakeColumn, schemas: Sequence[SourceSchema]) -> str | None:
    """The type that deliveries show of a column where some show a narrower one than others; None where they agree."""
    types = [lake_column.type for schema in schemas for lake_column in schema.columns if lake_column.name == column.name]
    narrow = [type_name for type_name in types if type_name != TEXT]
    if not narrow or (column.type != TEXT and TEXT not in types):
        return None
    if 2 * len(narrow) < len(types):  # text that happens to be numbers on some days
        return None
    if column.type != TEXT:
        return column.type
    together = reduce(wider, narrow)
    return together if together != TEXT else narrow[0]


def as_promised(schema: SourceSchema, promised: Sequence[ContractColumn]) -> SourceSchema:
    """The contract's types where it states them; columns that it doesn't know are read as detected."""
    types = {column.name: parse(column.type).text for column in promised if column.type}
    columns = tuple(LakeColumn(column.name, types.get(column.name, column.type), column.id) for column in schema.columns)
    columns += tuple(
        LakeColumn(column.name, types.get(column.name, "VARCHAR"), 0) for column in promised if column.name not in schema.names
    )
    return msgspec.structs.replace(schema, columns=columns, pinned_by=BY_CONTRACT)
