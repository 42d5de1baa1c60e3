"""dbt's `catalog.json`, version 1: the columns of each node, under the unique ids that
`headrace export dbt-manifest` gives them, so tools of dbt join both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from headrace_docs.exchange.names import json_text
from headrace_docs.responses.description import DescribedColumn, DescribedNode, Description

SCHEMA = "main"
_VERSION = "https://schemas.getdbt.com/dbt/catalog/v1.json"


def dbt_catalog_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield the file; nodes whose columns aren't known yet have none."""
    project = re.sub(r"[^A-Za-z0-9_]+", "_", described.project) or "project"
    nodes, sources = {}, {}
    for node in described.nodes:
        if node.kind == "source":
            uid = f"source.{project}.{node.owner}.{node.name}"
            sources[uid] = _table(node, uid)
        else:
            uid = f"model.{project}.{node.name}"
            nodes[uid] = _table(node, uid)
    document = {
        "metadata": {
            "dbt_schema_version": _VERSION,
            "generated_at": described.at.isoformat(timespec="seconds"),
        },
        "nodes": nodes,
        "sources": sources,
        "errors": None,
    }
    yield "catalog.json", json_text(document)


def _table(node: DescribedNode, uid: str) -> dict[str, Any]:
    kind = "VIEW" if node.materialize == "view" else "BASE TABLE"
    return {
        "metadata": {
            "type": kind,
            "schema": SCHEMA,
            "name": node.name,
            "database": None,
            "comment": node.description or None,
            "owner": node.owner,
        },
        "columns": {each.name: _column(at, each) for at, each in enumerate(node.columns, 1)},
        "stats": _stats(node),
        "unique_id": uid,
    }


def _column(at: int, column: DescribedColumn) -> dict[str, Any]:
    comment = None if column.classification is None else f"classified: {column.classification}"
    return {
        "type": column.type or "unknown",
        "index": at,
        "name": column.name,
        "comment": comment,
    }


def _stats(node: DescribedNode) -> dict[str, Any]:
    rows = [
        ("state", "State", node.state, "How its newest partition stands"),
        ("newest", "Newest partition", node.newest, "The newest partition that readers see"),
        ("num_rows", "Rows", node.rows, "Rows of the newest partition"),
    ]
    stats = {
        key: {"id": key, "label": label, "value": value, "include": True, "description": text}
        for key, label, value, text in rows
        if value is not None
    }
    has = {
        "id": "has_stats",
        "label": "Has Stats?",
        "value": bool(stats),
        "include": False,
        "description": "Indicates whether there are statistics for this table",
    }
    return {**stats, "has_stats": has}
