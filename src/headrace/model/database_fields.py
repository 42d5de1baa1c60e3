"""`connection:` of a source with `table:` or `query:`, and `cursor:`: rows of a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.model.connections import DATABASES, kind_of
from headrace.model.database_queries import PLACEHOLDERS, one_select, placeholders
from headrace.model.fields import Fields
from headrace.model.nodes import PartitionSpec, Source
from headrace.model.reporting import one_of, shown

EVERY = "1d"
"""How often a table that is read whole, and doesn't say whether it changed, is read again, unless `every:` says otherwise."""
NAME_CHARACTERS_MAX = 128
NAME_PARTS_MAX = 3
QUERY_CHARACTERS_MAX = 100_000


def is_database(fields: Fields) -> bool:
    """Whether `connection` says where the data comes from, and not only how it is reached."""
    return "connection" in fields and "http" not in fields and "files" not in fields


def read_connection(fields: Fields, partition: PartitionSpec) -> None:
    """Report what is wrong with `connection:` and what belongs to it."""
    fields.text("connection")
    files = fields.raw("files")
    if isinstance(files, str) and "://" not in files:
        hint = "take it out, or write files: s3://…"
        fields.refuse("connection", "files of the project need no `connection`", hint, code="conflicting_fields")
    if not is_database(fields):
        return
    if "query" in fields and "table" in fields:
        fields.refuse("table", f"{fields.what} has a `query` and a `table`", "keep one of them", code="conflicting_fields")
    elif "query" not in fields and "table" not in fields:
        hint = "add table: schema.name, or query: select …"
        fields.report.error("missing_field", fields.line("connection"), f"{fields.what} doesn't say what to read there", hint)
    elif partition.key is not None:
        fields.refuse("partition", "rows of a database can't be cut by key", "cut by time or not at all")
    elif partition.grain is not None and partition.column is None and not _asks_for_interval(fields):
        fields.refuse(
            "partition",
            f"{fields.what} doesn't say which rows a {partition.grain} has",
            f"write partition: {{by: {partition.grain}, column: …}}, or a query with $partition_start and $partition_end",
        )


def read_table(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001 - all readers of fields are alike
    """Report what is wrong with `table:`."""
    table = fields.text("table")
    if table is not None and parts_of(table) is None:
        fields.refuse(
            "table", f"{shown(table)} can't name a table", "write table: orders, or table: schema.orders; anything else is a `query`"
        )


def parts_of(table: str) -> tuple[str, ...] | None:
    """The parts of a table's name; None where it is none."""
    parts = tuple(part.strip() for part in table.split("."))
    usable = all(part and len(part) <= NAME_CHARACTERS_MAX and part.isprintable() for part in parts)
    return parts if usable and len(parts) <= NAME_PARTS_MAX else None


def read_query(fields: Fields, partition: PartitionSpec) -> None:
    """Report what is wrong with `query:`."""
    query = fields.text("query")
    if query is None:
        return
    unknown = [name for name in placeholders(query) if name not in PLACEHOLDERS]
    if len(query) > QUERY_CHARACTERS_MAX or "\0" in query or one_select(query) is None:
        fields.refuse("query", "`query` isn't one SELECT", "write one statement that begins with `select` or `with`, without `;` inside")
    elif unknown:
        fields.refuse("query", f"`query` has {shown(f'${unknown[0]}')}", "known here: $partition_start and $partition_end")
    elif placeholders(query) and partition.grain is None:
        fields.refuse("query", "`query` asks for an interval, and the source isn't cut by time", "add `partition: day`")


def read_cursor(fields: Fields, partition: PartitionSpec) -> None:  # noqa: ARG001 - all readers of fields are alike
    """Report what is wrong with `cursor:`."""
    cursor = fields.text("cursor")
    if not is_database(fields):
        fields.refuse(
            "cursor", "`cursor` is for rows of a database", "add `connection`, with `table` or `query`", code="conflicting_fields"
        )
    elif cursor is not None and (len(cursor) > NAME_CHARACTERS_MAX or not cursor.isprintable()):
        fields.refuse("cursor", f"{shown(cursor)} can't name a column", "write cursor: updated_at")


def _asks_for_interval(fields: Fields) -> bool:
    query = fields.raw("query")
    return isinstance(query, str) and "partition_start" in placeholders(query)


def misused(source: Source, connection: Mapping[str, Any]) -> str:
    """Why a source's rows can't come from a connection; empty where they can, or where that isn't known before it is resolved."""
    kind = kind_of(connection)
    if not ({"table", "query"} & source.connector.keys()) or kind in DATABASES:
        return ""
    if kind is not None:
        return f"rows can't be read from a connection of the kind {shown(kind)}, only from {one_of(DATABASES)}"
    return "" if "url" in connection else "the connection doesn't say what it leads to: add a `url`, or a `type`"


def as_delivered(source: Source) -> Source:
    """The source as the rest of Headrace has it: with `cursor:` and no other cut, each delivery is a partition; what is read whole is
    read again every day."""
    if not ({"table", "query"} & source.connector.keys()) or not source.partition.whole:
        return source
    if "cursor" in source.connector:
        return msgspec.structs.replace(source, partition=PartitionSpec(by_delivery=True))
    return msgspec.structs.replace(source, every=source.every or EVERY)
