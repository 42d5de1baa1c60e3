"""A table's columns as the catalog keeps them: one row for each column and for each field inside a nested one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.lake.tables import LakeColumn
from headrace.lake.types import Type, field_count, from_ducklake, parse, to_ducklake


def ids_of(column: LakeColumn) -> tuple[int, ...]:
    """The column's id and those of the fields inside it, depth first."""
    if column.field_ids:
        return (column.id, *column.field_ids)
    return tuple(range(column.id, column.id + field_count(parse(column.type))))


def leaves_of(column: LakeColumn) -> Iterator[tuple[int, tuple[str, ...], Type]]:
    """Each scalar of the column: its id, its path from the column's name, its type."""
    ids = iter(ids_of(column))

    def walk(wanted: Type, path: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...], Type]]:
        own = next(ids)
        if not wanted.fields:
            yield own, path, wanted
        for name, child in wanted.fields:
            yield from walk(child, (*path, name))

    return walk(parse(column.type), (column.name,))


def rows_of(column: LakeColumn, *, nullable: bool) -> Iterator[dict[str, Any]]:
    """What `ducklake_column` holds for the column, without the table and the snapshot."""
    ids = iter(ids_of(column))

    def walk(name: str, wanted: Type, parent: int | None) -> Iterator[dict[str, Any]]:
        own = next(ids)
        yield {
            "id": own,
            "name": name,
            "type": to_ducklake(wanted),
            "nullable": nullable or parent is not None,
            "parent": parent,
            "initial": column.default if parent is None else None,
            "default_type": "" if wanted.fields else "literal",
        }
        for child_name, child in wanted.fields:
            yield from walk(child_name, child, own)

    return walk(column.name, parse(column.type), None)


def read_columns(tx: CatalogTransaction, table_id: int, snapshot: int) -> tuple[LakeColumn, ...]:
    """The table's columns at the snapshot, in order."""
    rows = tx.execute(
        "SELECT column_id, column_name, column_type, parent_column, initial_default FROM ducklake_column WHERE table_id = :table "
        "AND begin_snapshot <= :snapshot AND (end_snapshot IS NULL OR end_snapshot > :snapshot) ORDER BY column_order",
        {"table": table_id, "snapshot": snapshot},
    ).fetchall()
    children: dict[int | None, list[Any]] = defaultdict(list)
    for row in rows:
        children[row[3]].append(row)
    return tuple(_column(row, children) for row in children[None])


def _column(row: Sequence[Any], children: dict[int | None, list[Any]]) -> LakeColumn:
    ids: list[int] = []

    def build(part: Sequence[Any]) -> Type:
        ids.append(part[0])
        return from_ducklake(part[2], tuple((child[1], build(child)) for child in children[part[0]]))

    wanted = build(row)
    plain = ids == list(range(ids[0], ids[0] + len(ids)))
    return LakeColumn(row[1], wanted.text, row[0], () if plain else tuple(ids[1:]), row[4])
