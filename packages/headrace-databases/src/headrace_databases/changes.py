"""`changes:`: the changes of a PostgreSQL table, read from a replication slot.

A process that only reads declarations imports this module, so the driver is imported on use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import msgspec

from headrace.extension import Source
from headrace.extension.sources import (
    Access,
    DetectedDelivery,
    Fetched,
    Fields,
    Observation,
    PartitionSpec,
    SourceKind,
    shown,
    unusable,
)
from headrace_databases.queries import parts_of

PUBLICATION = "headrace"
SNAPSHOT = "1"


class Changes(SourceKind):
    """`changes: {table: sales.orders}`: the changes of a table."""

    name = "changes"
    fields = ("table", "publication", "snapshot")
    meaning = "of PostgreSQL: a table whose changes are read from a replication slot"
    connections = ("postgresql",)

    def read_value(self, fields: Fields, partition: PartitionSpec) -> Any:
        """Return the mapping; report a source without a connection."""
        if "connection" not in fields:
            fields.refuse(
                self.name,
                "`changes` needs a `connection`",
                "add connection: with a name from [connections]",
                code="missing_field",
            )
        return super().read_value(fields, partition)

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Return the table, the publication and the name of the snapshot."""
        table = fields.required("table", "write table: sales.orders")
        publication = fields.text("publication") or PUBLICATION
        snapshot = fields.raw("snapshot")
        parts = parts_of(table) if isinstance(table, str) else None
        if isinstance(table, str) and (parts is None or len(parts) > 2):
            fields.refuse("table", f"{shown(table)} can't name a table", "write sales.orders")
        if not partition.whole:
            fields.refuse("table", "changes can't be partitioned", "take `partition:` out")
        return {"table": table, "publication": publication, "snapshot": str(snapshot or SNAPSHOT)}

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return what editors take."""
        text = {"type": "string", "pattern": r"\S"}
        return {"table": text, "publication": text, "snapshot": {"type": ["string", "integer"]}}

    def completed(self, source: Source) -> Source:
        """Return the source with a partition for each delivery."""
        return msgspec.structs.replace(source, partition=PartitionSpec(by_delivery=True))

    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """Return the copy of the table, or the changes since the newest published delivery."""
        result: Observation = _following().observe(access, wanted, known)
        return result

    def fetch(self, access: Access, delivery: DetectedDelivery) -> Fetched:
        """Write the copy of the table, or the changes of its transactions."""
        result: Fetched = _following().fetch(access, delivery)
        return result


def _following() -> Any:
    try:
        return import_module("headrace_databases.following")
    except ModuleNotFoundError as error:
        raise unusable(
            f"changes need the package {error.name}: pip install 'headrace-databases[postgresql]'"
        ) from None
