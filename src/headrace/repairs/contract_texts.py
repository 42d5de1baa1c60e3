"""The text of a contract: names and types, and rules with their evidence as comments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import msgspec

from headrace.connect.deliveries import SourceSchema
from headrace.model import Refused, Source
from headrace.model.contracts import duckdb_type
from headrace.project import targets
from headrace.project.session import ProjectSession
from headrace.store.queries import ingestion

FOLDER = "contracts"
_LOGICAL = {
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIME": "time",
    "DOUBLE": "number",
    "FLOAT": "number",
    "DECIMAL": "number",
    "VARCHAR": "string",
}

ROWS_MIN = 100
"""Below this number of rows no rule is inferred: only names and types."""


class Observed(msgspec.Struct, frozen=True):
    """The values observed in a column, over all partitions read.

    `repeated` is the maximum number of repeated values in one partition.
    """

    rows: int
    filled: int
    distinct: int
    repeated: int
    least: str | None
    greatest: str | None
    values: tuple[str, ...] = ()


def source_of(session: ProjectSession, target: str) -> tuple[Source, str | None]:
    """Return the source, and the partition if any, that a target names.

    Raise UsageError for other nodes.
    """
    project = session.project()
    node, key = targets.target(target, project, kinds=(Source,))
    return project.sources[node], key


def pinned_of(session: ProjectSession, source: Source) -> SourceSchema:
    """Return the source's pinned schema.

    Raise Refused if nothing of the source is published yet.
    """
    if session.store is not None:
        with session.store.read() as tx:
            schema = ingestion.pinned_schema(tx, source.name)
        if schema is not None:
            return msgspec.json.decode(schema, type=SourceSchema)
    raise Refused(
        f"nothing of {source.name} was published yet: there is nothing to infer a contract from",
        hint="headrace tick",
    )


def contract_text(
    name: str, schema: SourceSchema, seen: Mapping[str, Observed], partitions: int
) -> str:
    """Return the contract's text.

    Without observations it has names and types only, nothing that could reject a delivery.
    """
    rows = max((item.rows for item in seen.values()), default=0)
    observed = (
        f"# Inferred from {rows:,} rows in {partitions} partitions; a comment says why each rule is"
        " there.\n"
        if seen
        else ""
    )
    lines = [
        "apiVersion: v3.1.0",
        "kind: DataContract",
        f"id: {name}",
        "version: 1.0.0",
        "status: draft",
        "schema:",
        f"  - name: {name}",
        "    logicalType: object",
        "    properties:",
    ]
    for column in schema.columns:
        lines += _property(column.name, column.type, seen.get(column.name))
    return observed + "\n".join(lines) + "\n"


def _property(name: str, kind: str, seen: Observed | None) -> list[str]:
    lines = [f"      - name: {json.dumps(name, ensure_ascii=False)}"]
    if (
        duckdb_type(kind, logical(kind)) == kind
    ):  # for other types the contract can't express the type; the pinned one stays in force
        lines += [
            f"        logicalType: {logical(kind)}",
            f"        physicalType: {json.dumps(kind)}",
        ]
    if seen is None or seen.rows < ROWS_MIN:
        return lines
    if seen.filled == seen.rows:
        lines.append(f"        required: true   # filled in all of {seen.rows:,} rows")
        if seen.repeated == 0 and not kind.startswith(("DOUBLE", "FLOAT", "DATE", "BOOLEAN")):
            lines.append(
                f"        unique: true   # no value twice in a partition, {seen.distinct:,}"
                " different ones in all"
            )
    else:
        lines.append(f"        # empty in {seen.rows - seen.filled:,} of {seen.rows:,} rows")
    if seen.values:
        lines.append(f"        # only these values: {json.dumps(seen.values, ensure_ascii=False)}")
    elif seen.least is not None:
        lines.append(f"        # from {_quoted(seen.least)} to {_quoted(seen.greatest)}")
    return lines


def logical(kind: str) -> str:
    """Return the ODCS logical type of a DuckDB type."""
    base = re.split(r"[( ]", kind)[0]
    if base.endswith("INT") or base in ("INTEGER", "UINTEGER"):
        return "integer"
    if kind.endswith("]"):
        return "array"
    return _LOGICAL.get(base, "object" if base in ("STRUCT", "MAP", "JSON") else "string")


def _quoted(value: str | None) -> str:
    return json.dumps((value or "")[:40], ensure_ascii=False)
