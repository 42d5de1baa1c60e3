"""What a delivery that came again changed of an interval, as its restatement says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from headrace.store.queries.news import FactNews

COLUMNS_TOLD_MAX = 5
"""Where a restatement names 5 columns, others may have changed as well."""
ALIKE = 2.0
"""Two intervals changed alike where no changed share of one is more than 2 times as large as the other's."""
_COUNT = re.compile(r"[\d,]+")


class RestatedShares(NamedTuple):
    """The parts of an interval's rows that were added, removed and changed, by these words, and those that have another value in a
    column, by its name."""

    rows: Mapping[str, float]
    columns: Mapping[str, float]

    def leaves(self, column: str) -> bool:
        """Whether a column is known to have the same values as before."""
        return 0 < len(self.columns) < COLUMNS_TOLD_MAX and column not in self.columns

    def is_like(self, other: RestatedShares) -> bool:
        """Whether another interval was changed in the same way: by the same words, in the same columns, in about as many rows."""
        return _alike(self.rows, other.rows) and _alike(self.columns, other.columns)


def rewritten(fact: FactNews) -> RestatedShares:
    """What the fact of a restatement says: `62 rows changed; amount: 62 rows, 60 values became 59`."""
    total = max(_count(fact.expected), _count(fact.observed), 1)
    first, *clauses = fact.detail.split("; ")
    rows = {part.rpartition(" ")[2]: _count(part) / total for part in first.split(", ")}
    columns = {}
    for clause in clauses:
        name, _, text = clause.partition(": ")
        columns[name] = _count(text) / total
    return RestatedShares(rows, columns)


def _count(text: str) -> int:
    """The number that a text begins with; 0 for none."""
    match = _COUNT.match(text)
    return int(match[0].replace(",", "") or 0) if match else 0


def _alike(item: Mapping[str, float], other: Mapping[str, float]) -> bool:
    if item.keys() != other.keys():
        return False
    return all(max(item[name], other[name]) <= ALIKE * min(item[name], other[name]) for name in item)
