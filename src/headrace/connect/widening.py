"""What several files of a source, or its contract, say of a schema that one of them shows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.connect.deliveries import SourceSchema
from headrace.connect.formats.inside import merged
from headrace.connect.learn import wider
from headrace.lake import Column
from headrace.lake.types import parse
from headrace.model.nodes import ContractColumn

BY_CONTRACT = "contract"
OF_RECORDS = {"jsonl", "json", "xml"}
"""Kinds of files whose records may leave a column out."""


def widened(schema: SourceSchema, other: SourceSchema | None) -> SourceSchema:
    """`schema` with the types that hold the other's values too. Columns that only held nulls so far take the other's type."""
    if other is None:
        return schema
    apart = set(other.names) ^ set(schema.names)
    if apart and schema.format.kind not in OF_RECORDS:
        return schema
    types = {column.name: column.type for column in other.columns}
    columns = tuple(Column(one.name, wider(one.type, types.get(one.name, one.type)), one.id) for one in schema.columns)
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


def as_promised(schema: SourceSchema, promised: Sequence[ContractColumn]) -> SourceSchema:
    """The contract's types where it states them; columns that it doesn't know are read as detected."""
    types = {column.name: parse(column.type).text for column in promised if column.type}
    columns = tuple(Column(one.name, types.get(one.name, one.type), one.id) for one in schema.columns)
    columns += tuple(Column(one.name, types.get(one.name, "VARCHAR"), 0) for one in promised if one.name not in schema.names)
    return msgspec.structs.replace(schema, columns=columns, pinned_by=BY_CONTRACT)
