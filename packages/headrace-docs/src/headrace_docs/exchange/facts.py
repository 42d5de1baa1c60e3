"""A description as tables, which statements about a project are queries of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import duckdb
import pyarrow as pa

from headrace_docs.exchange.names import words
from headrace_docs.responses.description import DescribedConsumer, DescribedNode, Description

Rows = list[tuple[Any, ...]]
COLUMNS = {
    "project": ("project", "env", "true_at", "version", "reader"),
    "node": (
        *("name", "kind", "owner", "domain", "description", "partitions", "materialize"),
        *("retain", "place", "state", "newest", "published_at", "row_count", "verdict"),
        *("contract", "contract_version", "contract_status"),
    ),
    "field": ("node", "name", "type", "classification", "masked", "nulls", "profiled"),
    "edge": ("node", "reads", "mode"),
    "test": ("node", "name", "kind", "severity"),
    "level": ("node", "says", "enforced"),
    "consumer": (
        *("name", "owner", "domain", "description", "importance", "place", "state", "promise"),
        *("kept", "promised", "target", "tags"),
    ),
    "reading": ("consumer", "node"),
    "owner": ("name", "kind", "manager", "contacts"),
    "incident": ("id", "node", "state", "summary", "owner", "began_at", "restored_at"),
    "term": ("term", "definition"),
    "usage": ("term", "node", "field"),
    "change": ("version", "applied_at", "applied_by", "plan_id", "files"),
}
"""Table → its columns. Those in `_NUMBERS` are numbers, all others text."""
_NUMBERS = frozenset(
    {"row_count", "nulls", "profiled", "kept", "promised", "contacts", "version", "files"}
)


class Facts:
    """The tables of a description, in a database in memory that reaches nothing else."""

    def __init__(self, described: Description) -> None:
        self.rows = fact_rows(described)
        self._database = duckdb.connect(":memory:", config={"enable_external_access": False})
        for name, columns in COLUMNS.items():
            arrays = {
                column: pa.array(
                    [row[at] for row in self.rows[name]],
                    pa.int64() if column in _NUMBERS else pa.string(),
                )
                for at, column in enumerate(columns)
            }
            self._database.register(f"{name}_rows", pa.table(arrays))
            self._database.execute(f'create table "{name}" as select * from {name}_rows')

    def ask(self, query: str) -> list[str]:
        """Return the lines that a query selects, each a text."""
        return [str(row[0]) for row in self._database.execute(query).fetchall()]

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield each table as JSON lines, so that others can ask the same."""
        for name, columns in COLUMNS.items():
            lines = (dict(zip(columns, row, strict=True)) for row in self.rows[name])
            yield f"facts/{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines)


def fact_rows(described: Description) -> dict[str, Rows]:
    """Return the rows of each table of COLUMNS."""
    version = described.version
    head = (described.project, described.env, described.at, version, described.reader)
    usages = [
        (term.term, use.node, use.column)
        for term in described.terms
        for use in term.used_by
        if use.exists
    ]
    incidents = described.incidents
    tables: dict[str, Rows] = {
        "project": [head],
        "term": [(term.term, term.definition) for term in described.terms],
        "usage": usages,
        "owner": [
            (each.owner, each.kind, each.manager, len(each.contact)) for each in described.owners
        ],
        "incident": [
            (
                *(each.id, each.cause.node, each.state, each.cause.summary, each.owner),
                *(each.began_at, each.restored_at),
            )
            for each in incidents
        ],
        "change": [
            (
                *(each.version, each.at, each.by, each.plan_id),
                len(each.added) + len(each.changed) + len(each.removed),
            )
            for each in described.changes or ()
        ],
        **_of_nodes(described.nodes),
        **_of_consumers(described.consumers),
    }
    return {name: [tuple(map(_plain, row)) for row in rows] for name, rows in tables.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: texts in characters of XML, times in seconds."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return words(value) if isinstance(value, str) else value


def _of_nodes(nodes: Sequence[DescribedNode]) -> dict[str, Rows]:
    def contract(node: DescribedNode) -> tuple[str | None, str | None, str | None]:
        given = node.contract
        return (None, None, None) if given is None else (given.name, given.version, given.status)

    def levels(node: DescribedNode) -> Iterator[tuple[Any, ...]]:
        given = node.contract
        if given is not None:
            yield from ((node.name, level, "yes") for level in given.service)
            yield from ((node.name, level, "no") for level in given.unenforced)

    return {
        "node": [
            (
                *(node.name, node.kind, node.owner, node.domain, node.description),
                *(node.partition, node.materialize, node.retain, node.place, node.state),
                *(node.newest, node.published_at, node.rows, node.verdict, *contract(node)),
            )
            for node in nodes
        ],
        "field": [
            (
                *(node.name, each.name, each.type, each.classification),
                *("yes" if each.masked else "no", each.nulls, each.profiled),
            )
            for node in nodes
            for each in node.columns
        ],
        "edge": [(node.name, edge.node, edge.mode) for node in nodes for edge in node.reads],
        "test": [
            (node.name, check.name, check.kind, check.severity)
            for node in nodes
            for check in node.checks
        ],
        "level": list(chain.from_iterable(map(levels, nodes))),
    }


def _of_consumers(consumers: Sequence[DescribedConsumer]) -> dict[str, Rows]:
    def row(each: DescribedConsumer) -> tuple[Any, ...]:
        standing, past = each.standing, each.standing.availability
        return (
            *(each.name, standing.owner, each.domain, each.description, each.importance),
            *(each.place, standing.state, standing.needs),
            *((None, None) if past is None else (past.kept, past.promised)),
            None if standing.export is None else standing.export.target,
            ", ".join(each.tags),
        )

    return {
        "consumer": [row(each) for each in consumers],
        "reading": [(each.name, read.asset) for each in consumers for read in each.standing.reads],
    }
