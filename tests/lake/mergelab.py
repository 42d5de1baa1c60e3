"""Merges into a table of the test lake, and what they should come to, computed with plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakelab import Lake

from headrace.lake import catalog
from headrace.lake.files import verify
from headrace.lake.merging import StagedMerge, stage_merge
from headrace.lake.schema import TargetTable
from headrace.lake.tables import MergeRule, MergeState

Rows = Mapping[Any, Mapping[str, Any]]


def merge(
    lake: Lake,
    name: str,
    select: str,
    rule: MergeRule,
    *,
    after: int | None = None,
    evolve: bool = False,
    content_hash: str = "",
) -> StagedMerge:
    """One merge, staged and published: onto the state of now, or (`after`) onto that of a snapshot;
    0 is the empty state."""
    state = MergeState(
        tuple(catalog.state(lake.tx, name, after)), catalog.seen(lake.tx, name), content_hash
    )
    known = catalog.table(lake.tx, name)
    done = stage_merge(
        lake.session,
        select,
        None,
        target=TargetTable(name, known, evolve=evolve),
        rule=rule,
        state=state,
    )
    publish(lake, name, done)
    return done


def publish(lake: Lake, name: str, done: StagedMerge) -> None:
    for file in (done.staged, *done.replacement.deletes):
        verify(lake.data_folder, file)
    with lake.change() as change:
        if change.table(name) is None:
            change.create_table(done.table)
        else:
            change.evolve_table(done.table)
        change.merge(name, done.staged, done.replacement)


def values(rows: list[tuple[Any, ...]], columns: str) -> str:
    """A SELECT of these rows as text and numbers, with nothing of them in the statement
    unescaped.
    """
    if not rows:
        names = ", ".join(f"NULL::VARCHAR AS {name.strip()}" for name in columns.split(","))
        return f"SELECT {names} WHERE false"
    written = ", ".join(f"({', '.join(_literal(value) for value in row)})" for row in rows)
    return f"SELECT * FROM (VALUES {written}) AS given({columns})"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL::VARCHAR"
    if isinstance(value, bool | int):
        return str(value)
    return "'" + value.replace("'", "''") + "'"
