"""Which partitions of an asset differ on two sides, and whose rows are compared on a page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from headrace.extension import Asset, Source
from headrace.standing.comparisons import Side
from headrace.store.queries.publications import Visible
from headrace_ui.responses.differences import PartitionDifferenceRow

ROWS_MAX = 2_000_000
"""Rows of both sides that are compared. Partitions with more are left out, whatever their age."""
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


def compared_partitions(
    node: Source | Asset, states: Sequence[PartitionDifferenceRow], partition: str | None
) -> list[str]:
    """Return the partitions whose rows are read, within ROWS_MAX together.

    They are the newest of those that differ and have no more rows than that themselves.
    """
    asked = _asked(states, partition)
    if accumulates(node):
        asked = asked if sum(map(_rows, states)) <= ROWS_MAX else []
        return [item.partition for item in asked]
    small = [item for item in asked if _rows(item) <= ROWS_MAX]
    totals = accumulate(_rows(item) for item in reversed(small))
    fitting = sum(total <= ROWS_MAX for total in totals)
    return [item.partition for item in small[len(small) - fitting :]]


class LeftOut(NamedTuple):
    """How many partitions aren't compared, and how many of them aren't by themselves either."""

    partitions: int
    too_large: int


def left_out(
    node: Source | Asset,
    states: Sequence[PartitionDifferenceRow],
    partition: str | None,
    compared: Sequence[str],
) -> LeftOut:
    """Count the partitions asked for whose rows aren't compared."""
    asked = _asked(states, partition)
    count = len(asked) - len(compared)
    if accumulates(node):
        return LeftOut(count, count)
    return LeftOut(count, sum(_rows(item) > ROWS_MAX for item in asked))


def _asked(
    states: Sequence[PartitionDifferenceRow], partition: str | None
) -> list[PartitionDifferenceRow]:
    if partition is None:
        return [item for item in states if item.state != EQUAL]
    return [item for item in states if item.partition == partition]


def _rows(item: PartitionDifferenceRow) -> int:
    return (item.rows_left or 0) + (item.rows_right or 0)
