"""The best one-to-one assignment of rows to columns: that with the greatest total gain."""

from __future__ import annotations

import math
from collections.abc import Mapping

EXACT_MAX = 120
"""The size of a group of pairs that is solved exactly (half a second).

A larger group is first split at its weakest pairs.
"""

Pair = tuple[int, int]


def assign(gains: Mapping[Pair, float]) -> dict[int, int]:
    """Return the column of each row in the best assignment.

    Pairs without a positive gain are never used. Ties are decided by the lower numbers.
    """
    chosen: dict[int, int] = {}
    for knot in _knots({pair: gain for pair, gain in gains.items() if gain > 0.0}):
        chosen.update(_solved(knot))
    return chosen


def _knots(gains: Mapping[Pair, float]) -> list[dict[Pair, float]]:
    """Split the pairs into groups without common rows or columns, which are solved separately."""
    leader: dict[tuple[str, int], tuple[str, int]] = {}

    def find(item: tuple[str, int]) -> tuple[str, int]:
        while leader.setdefault(item, item) != item:
            leader[item] = leader[leader[item]]
            item = leader[item]
        return item

    for row, column in gains:
        leader[find(("r", row))] = find(("c", column))
    knots: dict[tuple[str, int], dict[Pair, float]] = {}
    for pair in sorted(gains):
        knots.setdefault(find(("r", pair[0])), {})[pair] = gains[pair]
    return list(knots.values())


def _solved(knot: dict[Pair, float]) -> dict[int, int]:
    rows, columns = sorted({row for row, _ in knot}), sorted({column for _, column in knot})
    if max(len(rows), len(columns)) > EXACT_MAX:
        return _solved_without_weakest(knot)
    # Each row may also stay unpaired without a gain; an extra column stands for that.
    costs = [
        [-knot.get((row, column), 0.0) for column in columns] + [0.0] * len(rows) for row in rows
    ]
    results = _hungarian(costs)
    pairs = ((rows[i], columns[j]) for i, j in enumerate(results) if j < len(columns))
    return {row: column for row, column in pairs if (row, column) in knot}


def _solved_without_weakest(knot: dict[Pair, float]) -> dict[int, int]:
    """Return the assignment of the better half of a group, or a greedy one if all gains tie."""
    median = sorted(knot.values())[len(knot) // 2]
    left = {pair: gain for pair, gain in knot.items() if gain > median}
    return assign(left) if len(left) < len(knot) and left else _greedy(knot)


def _greedy(knot: Mapping[Pair, float]) -> dict[int, int]:
    chosen: dict[int, int] = {}
    for row, column in sorted(knot, key=lambda pair: (-knot[pair], pair)):
        if row not in chosen and column not in chosen.values():
            chosen[row] = column
    return chosen


def _hungarian(  # complexipy: ignore (a known algorithm: its loops share their prices)
    costs: list[list[float]],
) -> list[int]:
    """Return the column of each row at the least total cost.

    Uses shortest augmenting paths, O(rows² · columns). There must be at least as many columns as
    rows.
    """
    count, width = len(costs), len(costs[0])
    rows_price, columns_price = [0.0] * (count + 1), [0.0] * (width + 1)
    row_of, before = [0] * (width + 1), [0] * (width + 1)
    for row in range(1, count + 1):
        row_of[0], column = row, 0
        least, used = [math.inf] * (width + 1), [False] * (width + 1)
        while row_of[column]:
            used[column] = True
            at, delta, nearest = row_of[column], math.inf, 0
            for other in range(1, width + 1):
                if used[other]:
                    continue
                reduced = costs[at - 1][other - 1] - rows_price[at] - columns_price[other]
                if reduced < least[other]:
                    least[other], before[other] = reduced, column
                if least[other] < delta:
                    delta, nearest = least[other], other
            for other in range(width + 1):
                if used[other]:
                    rows_price[row_of[other]] += delta
                    columns_price[other] -= delta
                else:
                    least[other] -= delta
            column = nearest
        while column:
            row_of[column] = row_of[before[column]]
            column = before[column]
    results = [0] * count
    for column in range(1, width + 1):
        if row_of[column]:
            results[row_of[column] - 1] = column - 1
    return results
