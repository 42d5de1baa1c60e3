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
    columns = tuple(LakeColumn(one.name, wider(one.type, types.get(one.name, one.type)), one.id) for one in schema.columns)
    columns += tuple(one for one in other.columns if one.name not in schema.names)
    optional = dict.fromkeys((*schema.optional, *other.optional, *(one.name for one in columns if one.name in apart)))
    form = msgspec.structs.replace(
        schema.format,
        null=tuple(dict.fromkeys((*schema.format.null, *other.format.null))),
        date_format=schema.format.date_format or other.format.date_format,
        timestamp_format=schema.format.timestamp_format or other.format.timestamp_format,
    )
    theirs = {one.column: one for one in other.inside}
    inside = [merged(one, theirs.pop(one.column)) if one.column in theirs else one for one in schema.inside]
    return msgspec.structs.replace(schema, columns=columns, format=form, optional=tuple(optional), inside=(*inside, *theirs.values()))


def agreed(schemas: Sequence[SourceSchema]) -> SourceSchema:
    """What several deliveries show together: the first one's schema with types that hold the values of all, and where types
    are learnt from text, with the narrower type that most deliveries agree on.

    One delivery with a broken value among many would else make its column text for all of them. It isn't of the type that
    is returned, so reading it says which line is broken.
    """
    first, *others = schemas
    found = first
    for other in others:
        found = widened(found, other)
    if first.format.kind not in OF_TEXT:
        return found
    alike = [one for one in schemas if set(one.names) == set(first.names)]
    columns = tuple(
        LakeColumn(one.name, _of_most(one.name, alike) or one.type, one.id) if one.type == TEXT else one for one in found.columns
    )
    return msgspec.structs.replace(found, columns=columns)


def _of_most(name: str, schemas: Sequence[SourceSchema]) -> str | None:
    """The type narrower than text that more than half of the deliveries show of a column, all written in one way."""
    types = [(column.type, one) for one in schemas for column in one.columns if column.name == name]
    narrow = [(type_name, one.format) for type_name, one in types if type_name != TEXT]
    if 2 * len(narrow) <= len(types):
        return None
    found = reduce(wider, (type_name for type_name, _ in narrow))
    written = {(form.date_format, form.timestamp_format) for _, form in narrow}
    return None if found == TEXT or (found in DATES and len(written) > 1) else found


def disputed(schemas: Sequence[SourceSchema], found: SourceSchema) -> list[dict[str, str] | None]:
    """Of each delivery, the columns of which it shows another type than the others: column → their type. None for one with another
    header. `found` is what they show together. Only where types are learnt from text, which a broken value changes."""
    if found.format.kind not in OF_TEXT:
        return [{} for _ in schemas]
    alike = [one for one in schemas if set(one.names) == set(schemas[0].names)]
    theirs = {column.name: _disputed(column, alike) for column in found.columns}
    rows: list[dict[str, str] | None] = []
    for one in schemas:
        if one not in alike:
            rows.append(None)
            continue
        row = {}
        for column in one.columns:
            type_name = theirs.get(column.name)
            if type_name is not None and wider(column.type, type_name) != type_name:
                row[column.name] = type_name
        rows.append(row)
    return rows


def _disputed(column: LakeColumn, schemas: Sequence[SourceSchema]) -> str | None:
    """The type that deliveries show of a column where some show a narrower one than others; None where they agree."""
    types = [own.type for one in schemas for own in one.columns if own.name == column.name]
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
    columns = tuple(LakeColumn(one.name, types.get(one.name, one.type), one.id) for one in schema.columns)
    columns += tuple(LakeColumn(one.name, types.get(one.name, "VARCHAR"), 0) for one in promised if one.name not in schema.names)
    return msgspec.structs.replace(schema, columns=columns, pinned_by=BY_CONTRACT)
