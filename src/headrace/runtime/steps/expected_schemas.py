"""Schemas that a delivery is read by, and what its table must have room for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.connect import SourceSchema
from headrace.connect.deliveries import Format
from headrace.connect.prepared import PreparedDelivery
from headrace.lake import LakeColumn, LakeTable
from headrace.lake.schema import TargetTable
from headrace.lake.types import parse, widens, widens_where_exact
from headrace.model import ContractColumn
from headrace.runtime.messages import IngestTask


def declared_at(promised: Sequence[ContractColumn]) -> dict[str, str]:
    """Column → file and line where the contract declares its type."""
    return {
        column.name: f"{column.place.file}:{column.place.line}"
        for column in promised
        if column.type and column.place is not None
    }


def with_contract(
    pinned: SourceSchema, promised: Sequence[ContractColumn], table: LakeTable | None
) -> SourceSchema:
    """Return the pinned schema with the contract's types and its columns not delivered yet.

    Columns that only the table has are kept as optional.
    """
    types = {column.name: parse(column.type).text for column in promised if column.type}
    columns = [
        LakeColumn(column.name, types.get(column.name, column.type), column.id)
        for column in pinned.columns
    ]
    have = {column.name.lower() for column in columns}
    columns += [
        LakeColumn(column.name, types.get(column.name, "VARCHAR"), 0)
        for column in promised
        if column.name.lower() not in have
    ]
    names = unagreed(pinned, promised, table)
    columns += [
        LakeColumn(column.name, column.type, 0)
        for column in (table.columns if table is not None else ())
        if column.name in names
    ]
    optional = [column.name for column in columns if column.name in names]
    return msgspec.structs.replace(
        pinned, columns=tuple(columns), optional=(*pinned.optional, *optional)
    )


def unagreed(
    pinned: SourceSchema, promised: Sequence[ContractColumn], table: LakeTable | None
) -> frozenset[str]:
    """Return the columns that only the table has.

    They come from deliveries that a user accepted, and from contracts that no longer declare them.
    """
    have = {name.lower() for name in (*pinned.names, *(column.name for column in promised))}
    return frozenset(
        column.name
        for column in (table.columns[1:] if table is not None else ())
        if column.name.lower() not in have
    )


def needs_room(schema: SourceSchema, table: LakeTable | None) -> bool:
    """Whether a table must change to hold the columns: it lacks some, or they are wider."""
    if table is None:
        return False
    has = {column.name.lower(): column.type for column in table.columns}
    return any(
        column.name.lower() not in has or _wants_room(has[column.name.lower()], column.type)
        for column in schema.columns
    )


def target_of(task: IngestTask, schema: SourceSchema) -> TargetTable:
    """Return the source's table, which changes where it can't hold the delivery's columns."""
    evolve = task.evolve or needs_room(schema, task.table)
    return TargetTable(task.source.name, task.table, evolve)


def delivered_names(prepared: PreparedDelivery) -> set[str]:
    """Return the names in the headers of a delivery's files."""
    return {name for part in prepared.parts or (prepared,) for name in part.header.names}


def of_file(prepared: PreparedDelivery) -> SourceSchema:
    """Return the schema of the delivery itself: without columns that only other deliveries have."""
    there = delivered_names(prepared)
    columns = tuple(
        LakeColumn(column.name, column.type, 0)
        for column in prepared.schema.columns
        if column.name in there
    )
    return msgspec.structs.replace(prepared.schema, columns=columns)


def with_dates(pinned: Format, read: Format) -> Format:
    """Return the pinned format, with formats of dates and timestamps that were unknown so far.

    Other differences are decided for each delivery: one day's values alone don't prove a format.
    """
    return msgspec.structs.replace(
        pinned,
        date_format=pinned.date_format or read.date_format,
        timestamp_format=pinned.timestamp_format or read.timestamp_format,
    )


def _wants_room(has: str, wanted: str) -> bool:
    was, kind = parse(has), parse(wanted)
    return was != kind and (widens(was, kind) or widens_where_exact(was, kind))
