"""Gives up damaged files that several partitions share, so that each can be published again without the others' rows."""

from __future__ import annotations

from collections.abc import Callable

from headrace.lake.catalog import CatalogChange
from headrace.observe.damaged import accumulates, damaged_files, partitions_in
from headrace.store import Transaction


def shared_and_damaged(tx: Transaction, node: str) -> dict[str, dict[str, int]]:
    """The damaged files of a node that hold several partitions, each with its rows. Files that were
    given up before aren't among them, nor are those of a merge, which computes its table again from
    the first of its damaged partitions on."""
    if accumulates(tx, node):
        return {}
    own = {file.id: file.path for file in damaged_files(tx) if file.node == node and file.given_up is None and file.id > 0}
    held = partitions_in(tx, node, own.keys())
    return {own[number]: rows for number, rows in held.items() if len(rows) > 1}


def give_up(
    tx: Transaction,
    node: str,
    now: int,
    *,
    replaced: Callable[[str], bool] | None = None,
) -> None:
    """Register the rows of these files as lost; with `replaced`, of those files alone of which each
    partition is."""
    damaged = shared_and_damaged(tx, node)
    if replaced is not None:
        damaged = {path: rows for path, rows in damaged.items() if all(map(replaced, rows))}
    if not damaged:
        return
    change = CatalogChange.begin(tx, now)
    for path, rows in damaged.items():
        change.give_up(node, path, rows)
    change.finish(author="headrace", message=f"give up damaged files of {node}"[:500])
