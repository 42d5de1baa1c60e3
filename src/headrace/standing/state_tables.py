"""The state as tables beside a project's own in queries: `headrace.runs`, `headrace.incidents` …

Whoever may run a query may see all nodes and read rows, so nothing is left out of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headrace.lake import STATE_SCHEMA
from headrace.model import UsageError
from headrace.model.errors import did_you_mean
from headrace.model.file_names import visible_hash, visible_name
from headrace.plan.impact import Lineage
from headrace.project.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import state_tables as stored
from headrace.store.queries.state_tables import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.plan import Compiled


def read_state_tables(session: ProjectSession, names: Sequence[str]) -> dict[str, pa.Table]:
    """Return each table, all named `headrace.NAME`.

    Raise UsageError for an unknown one, and before the first apply.
    """
    tables = {full: full.removeprefix(f"{STATE_SCHEMA}.") for full in names}
    for full, name in tables.items():
        if name not in TABLES:
            hint = did_you_mean(name, TABLES) or f"there are {', '.join(TABLES)}"
            raise UsageError(f"there is no table {full[:60]}", hint=hint)
    if session.store is None or session.compiled is None:
        raise UsageError(f"{names[0]} has no rows yet", hint="headrace apply")
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        return {
            full: _table(name, _rows(session, session.compiled, tx, name, now_us))
            for full, name in tables.items()
        }


def _rows(
    session: ProjectSession, compiled: Compiled, tx: Transaction, name: str, now_us: int
) -> Iterator[list[Any]]:
    if name == "lineage":
        return _edges(session, compiled)
    rows = stored.rows(tx, name, now_us)
    if name == "deliveries":
        project = compiled.project
        return (
            [of, key, visible_name(project, of, path), *rest, visible_hash(project, of, digest)]
            for of, key, path, *rest, digest in rows
        )
    if name == "partitions":  # nobody can read those of a node that was removed
        applied = compiled.nodes.keys() | compiled.project.consumers.keys()
        return (row for row in rows if row[0] in applied)
    return rows


def _edges(session: ProjectSession, compiled: Compiled) -> Iterator[list[Any]]:
    lineage: Lineage | None = session.lineage
    assert lineage is not None
    for node in compiled.order:
        lines = lineage.of(node)
        for column, edges in (*lines.columns.items(), (None, lines.filters)):
            for edge in dict.fromkeys(edges):
                yield [node, column, edge.input, edge.column, edge.transformation.value]


def _table(name: str, rows: Iterable[list[Any]]) -> pa.Table:
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "VARCHAR[]": pa.list_(pa.string()),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    }
    columns = TABLES[name].columns
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [
        pa.array(of_column, types[column.type])
        for column, of_column in zip(columns.values(), values, strict=True)
    ]
    return pa.table(arrays, names=list(columns))
