"""What a source's schema is learnt from: which deliveries, and which of them don't agree, with the line."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.connect.deliveries import AlmostTyped, Disagreement, Lesson, SourceSchema
from headrace.connect.encodings import UTF8
from headrace.connect.unpack import Opened
from headrace.connect.widening import TEXT, disputed
from headrace.lake import LakeColumn


class DeliverySchema(NamedTuple):
    """A kept delivery, and the schema that it shows by itself."""

    path: Path
    name: str
    schema: SourceSchema


FirstBad = Callable[[DeliverySchema, SourceSchema], Mapping[str, tuple[str, int | None]]]
"""Reads a delivery with a schema: column → its first value that isn't of the schema's type, and the line."""


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
    """What `schema` was learnt from: `shows`, the first of which is `opened`. Where a contract says the types (`promised`), deliveries
    can't disagree about them. A delivery that does is read once more, for the line."""
    disputes = [{} for _ in shows] if promised else disputed([schema.schema for schema in shows], schema)
    disagreed = []
    for delivery_schema, columns in zip(shows, disputes, strict=True):
        if columns is None:
            disagreed.append(Disagreement(delivery_schema.name))
            continue
        bad = first_bad(delivery_schema, _with_types(schema, columns)) if columns else {}
        for column, type_name in columns.items():
            value, line = bad.get(column, ("", None))
            disagreed.append(Disagreement(delivery_schema.name, column, type_name, value, line))
    types = {column.name: column.type for column in schema.columns}
    undecided = dict.fromkeys(disagreement.column for disagreement in disagreed if types.get(disagreement.column) == TEXT)
    declared = opened.options.get(kind)
    return Lesson(
        deliveries=tuple(schema.name for schema in shows),
        encoding=opened.encoding,
        declared_encoding=declared_encoding,
        undeclared=opened.encoding != UTF8 and not (isinstance(declared, Mapping) and declared.get("encoding")),
        header=not isinstance(declared, Mapping) or bool(declared.get("header", True)),
        disagreed=tuple(disagreed),
        undecided=tuple(undecided),
    )


def almost_typed(
    show: DeliverySchema, schema: SourceSchema, columns: Sequence[AlmostTyped], classified: Container[str], first_bad: FirstBad
) -> tuple[AlmostTyped, ...]:
    """`columns` of the delivery with the first value that isn't of the others' type, and its line. The values of `classified` ones
    aren't kept."""
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
    columns = [LakeColumn(column.name, types.get(column.name, column.type), column.id) for column in schema.columns]
    return msgspec.structs.replace(schema, columns=tuple(columns))
