"""Which partitions of an asset differ on two sides, and whose rows are compared on a page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from headrace.model import Asset, Source
from headrace.services.comparisons import Side
from headrace.services.responses.differences import PartitionDifferenceRow
from headrace.store.queries.publications import Visible

ROWS_MAX = 2_000_000
"""Rows of both sides that are compared: those of the newest partitions that have no more."""
EQUAL, CHANGED, ONLY_LEFT, ONLY_RIGHT = "equal", "changed", "only_left", "only_right"


def partition_states(left: Side, right: Side) -> list[PartitionDifferenceRow]:
    """Return the partitions of both sides, in order; two environments never share publications."""
    same_state = left.lake == right.lake
    rows = []
    for key in sorted({*left.published, *right.published}):
        was, now = left.published.get(key), right.published.get(key)
        rows.append(
            PartitionDifferenceRow(
                partition=key,
                state=_state(was, now, same_state=same_state),
                rows_left=was.rows if was else None,
                rows_right=now.rows if now else None,
                compared=False,
            )
        )
    return rows


def _state(was: Visible | None, now: Visible | None, *, same_state: bool) -> str:
    if was is None:
        return ONLY_RIGHT
    if now is None:
        return ONLY_LEFT
    if same_state and was.id == now.id:
        return EQUAL
    same = was.content_hash is not None and was.content_hash == now.content_hash
    return EQUAL if same else CHANGED


def accumulates(node: Source | Asset) -> bool:
    """Return whether each publication updates the whole table."""
    return isinstance(node, Asset) and node.accumulates


def _differing(states: Sequence[PartitionDifferenceRow]) -> list[PartitionDifferenceRow]:
    return [item for item in states if item.state != EQUAL]


def compared_partitions(
    node: Source | Asset, states: Sequence[PartitionDifferenceRow], partition: str | None
) -> list[str]:
    """Return the partitions whose rows are read: the newest ones that differ, within ROWS_MAX."""
    candidates = _differing(states)
    if partition is not None:
        candidates = [item for item in states if item.partition == partition]
    names = [item.partition for item in candidates]
    if accumulates(node):
        return names if sum(map(_rows, states)) <= ROWS_MAX else []
    totals = accumulate(_rows(item) for item in reversed(candidates))
    fitting = sum(total <= ROWS_MAX for total in totals)
    return names[len(names) - fitting :]


def not_compared(
    states: Sequence[PartitionDifferenceRow], partition: str | None, compared: Sequence[str]
) -> int:
    """Return how many of the partitions asked for aren't compared."""
    asked = 1 if partition is not None else len(_differing(states))
    return asked - len(compared)


def _rows(item: PartitionDifferenceRow) -> int:
    return (item.rows_left or 0) + (item.rows_right or 0)
