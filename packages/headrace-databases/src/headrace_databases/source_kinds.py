"""Rows of a database as a source: `connection:` with `table:` or `query:`, by interval, by a
growing cursor, or unpartitioned.
"""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.extension import Source
from headrace.extension.sources import (
    DATABASES,
    WHOLE,
    Access,
    DetectedDelivery,
    Fetched,
    Fields,
    Observation,
    PartitionSpec,
    SourceField,
    SourceKind,
    shown,
    unusable,
)
from headrace_databases.engines.engine import connect_source
from headrace_databases.queries import (
    NAME_CHARACTERS_MAX,
    one_select,
    parts_of,
    placeholders,
)
from headrace_databases.statements import SourceRows

READ_EVERY = "1d"
"""Default of `every:` for unpartitioned tables and queries without change detection."""
PLACEHOLDERS = ("partition_start", "partition_end")
QUERY_CHARACTERS_MAX = 100_000
TEXT = {"type": "string", "pattern": r"\S"}


class DatabaseRows(SourceKind):
    """Abstract: the rows of a database, which `table:` or `query:` names."""

    connections = DATABASES

    def read_value(self, fields: Fields, partition: PartitionSpec) -> Any:
        """Return the field as written; report what it and the partitioning can't be."""
        if "files" in fields or {"table", "query"} <= fields.block.keys():
            return None  # two origins are reported
        text = fields.text(self.name)
        if text is not None:
            self.check(fields, text, partition)
        if "connection" not in fields:
            fields.refuse(
                self.name,
                f"{shown(self.name)} needs a `connection`",
                "add connection: with a name from [connections]",
                code="conflicting_fields",
            )
        elif partition.key is not None:
            fields.refuse(
                "partition",
                "rows of a database can't be partitioned by key",
                "partition it by time or not at all",
            )
        elif (
            partition.grain is not None
            and partition.column is None
            and not self.asks_for_interval(text)
        ):
            fields.refuse(
                "partition",
                f"{fields.what} doesn't say which rows a {partition.grain} has",
                f"write partition: {{by: {partition.grain}, column: …}}, or a query with"
                " $partition_start and $partition_end",
            )
        return fields.raw(self.name)

    def value_schema(self) -> dict[str, Any]:
        """Return what editors take."""
        return {**TEXT}

    @abstractmethod
    def check(self, fields: Fields, text: str, partition: PartitionSpec) -> None:
        """Report what the field's text can't be."""

    def asks_for_interval(self, text: str | None) -> bool:
        """Return whether the rows of an interval are asked for by its start and end."""
        del text
        return False

    def completed(self, source: Source) -> Source:
        """Return the source with its derived fields.

        An unpartitioned source with `cursor:` gets one partition per delivery; without `cursor:` it
        is re-read daily unless `every:` is declared.
        """
        if not source.partition.whole:
            return source
        if "cursor" in source.connector:
            return msgspec.structs.replace(source, partition=PartitionSpec(by_delivery=True))
        return msgspec.structs.replace(source, every=source.every or READ_EVERY)

    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """List the available intervals, with `cursor:` also the changed ones."""
        if not wanted:
            return Observation()
        with connect_source(access) as engine:
            rows = SourceRows(access.source, engine)
            versions = _versions(rows, wanted, known)
        path = path_of(access.source)
        deliveries = [
            DetectedDelivery(
                source=access.source.name,
                partition=key,
                path=path,
                size_bytes=-1,
                modified_us=access.now_us,
                version=version,
            )
            for key, version in versions.items()
            if key not in known or known[key][1] != version or (not version and key == WHOLE)
        ]
        return Observation(found=tuple(deliveries), seen=len(versions))

    def fetch(self, access: Access, delivery: DetectedDelivery) -> Fetched:
        """Write the rows of an interval as one Parquet file, from one snapshot."""
        target = access.temporary / f"{uuid.uuid4().hex}.parquet"
        with connect_source(access) as engine:
            rows = SourceRows(access.source, engine)
            if access.source.partition.by_delivery:
                after, until = _bounds(delivery.version)
                sql, values = rows.between(after, until)
            else:
                sql, values = rows.of(delivery.partition)
            engine.copy(sql, values, target)
        return Fetched(
            path=target, name=f"{access.source.name}.parquet", modified_us=delivery.modified_us
        )


class Table(DatabaseRows):
    """`table: sales.orders`: all rows of a table, or those of an interval by a column."""

    name = "table"
    meaning = "of a database: the table, instead of a query"

    def check(self, fields: Fields, text: str, partition: PartitionSpec) -> None:
        """Report a text that can't name a table."""
        del partition
        if parts_of(text) is None:
            fields.refuse(
                "table",
                f"{shown(text)} can't name a table",
                "write table: orders, or table: schema.orders; anything else is a `query`",
            )


class Query(DatabaseRows):
    """`query: select … where day >= $partition_start`: the rows of one SELECT."""

    name = "query"
    meaning = "of a database: the SELECT that gives its rows"

    def check(self, fields: Fields, text: str, partition: PartitionSpec) -> None:
        """Report a text that isn't one SELECT, and unknown placeholders."""
        unknown = [name for name in placeholders(text) if name not in PLACEHOLDERS]
        if len(text) > QUERY_CHARACTERS_MAX or "\0" in text or one_select(text) is None:
            fields.refuse(
                "query",
                "`query` isn't one SELECT",
                "write one statement that begins with `select` or `with`, without `;` inside",
            )
        elif unknown:
            fields.refuse(
                "query",
                f"`query` has {shown(f'${unknown[0]}')}",
                "known here: $partition_start and $partition_end",
            )
        elif placeholders(text) and partition.grain is None:
            fields.refuse(
                "query",
                "`query` asks for an interval, and the source isn't partitioned by time",
                "add `partition: day`",
            )

    def asks_for_interval(self, text: str | None) -> bool:
        """Return whether the query has `$partition_start`."""
        return text is not None and "partition_start" in placeholders(text)


class Cursor(SourceField):
    """`cursor: updated_at`: the column that only grows, of a table or query."""

    name = "cursor"
    meaning = "of a database: a column whose values only grow: rows above the last are read"

    def read_value(self, fields: Fields, partition: PartitionSpec) -> Any:
        """Return the field as written; report where it can't be used."""
        del partition
        cursor = fields.text("cursor")
        if "table" not in fields and "query" not in fields:
            fields.refuse(
                "cursor",
                "`cursor` is for rows of a database",
                "add `connection`, with `table` or `query`",
                code="conflicting_fields",
            )
        elif cursor is not None and (len(cursor) > NAME_CHARACTERS_MAX or not cursor.isprintable()):
            fields.refuse(
                "cursor", f"{shown(cursor)} can't name a column", "write cursor: updated_at"
            )
        return fields.raw("cursor")

    def value_schema(self) -> dict[str, Any]:
        """Return what editors take."""
        return {**TEXT}


def path_of(source: Source) -> str:
    """Return the displayed origin of a delivery: the connection and the table."""
    return f"{source.connector.get('connection')}/{source.connector.get('table', 'query')}"


def _versions(
    rows: SourceRows, intervals: Sequence[str], known: Mapping[str, tuple[str, str]]
) -> dict[str, str]:
    """Return interval → its current version."""
    source = rows.source
    if source.partition.by_delivery:
        last = _bounds(known[WHOLE][1])[1] if WHOLE in known and known[WHOLE][1] else None
        newest = rows.newest(last)
        return {} if newest is None else {WHOLE: _written([last, newest])}
    if rows.cursor is None:
        rows.check(intervals[0])
        return dict.fromkeys(intervals, "")
    return {key: _written(list(version)) for key, version in rows.summaries(intervals).items()}


def _bounds(version: str) -> tuple[Any, Any]:
    try:
        after, until = msgspec.json.decode(version)
    except (msgspec.DecodeError, ValueError, TypeError):
        raise unusable(f"the delivery's bounds can't be read: {version[:60]!r}") from None
    return after, until


def _written(version: list[Any]) -> str:
    """Return a version as JSON; types that JSON lacks become text, which databases parse again."""
    plain = [
        (
            value
            if isinstance(value, int | float | str | None) and not isinstance(value, bool)
            else str(value)
        )
        for value in version
    ]
    return msgspec.json.encode(plain).decode()
