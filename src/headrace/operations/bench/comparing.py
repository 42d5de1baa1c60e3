"""Expected rows against those that were got: what is missing, what wasn't expected, which cells differ. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

Row = Mapping[str, Any]
SHOWN_MAX = 20
"""Rows of each kind in a document."""
PAIRED_MAX = 300
"""Rows without a partner that are compared with each other; of more, pairs aren't looked for."""
TOLERANCE = 1e-9
"""Relative: floats that differ by less are equal."""


class CellDifference(NamedTuple):
    """One cell that differs."""

    column: str
    expected: Any
    got: Any


class RowDifference(NamedTuple):
    """A row as it was got, and the cells in which it isn't the one that was expected."""

    row: Row
    cells: tuple[CellDifference, ...]


class Comparison(msgspec.Struct, frozen=True):
    """The difference. All three are empty where the rows are those expected."""

    missing: tuple[Row, ...] = ()
    unexpected: tuple[Row, ...] = ()
    changed: tuple[RowDifference, ...] = ()
    out_of_order: int | None = None
    """The first place (from 1) where an ordered result has another row, though all rows are there."""

    @property
    def differences(self) -> int:
        """How many rows aren't as expected."""
        return len(self.missing) + len(self.unexpected) + len(self.changed)

    @property
    def same(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.differences and self.out_of_order is None


def compare(expected: Sequence[Row], got: Sequence[Row], *, keys: Sequence[str] = (), ordered: bool = False) -> Comparison:
    """As multisets of rows with the same columns, or (`ordered`) also as sequences. `keys` say which rows belong together."""
    missing, unexpected = _unmatched(expected, got)
    missing, unexpected = _without_close(missing, unexpected)
    pairs, missing, unexpected = _paired(missing, unexpected, keys)
    changed = tuple(RowDifference(mine, _cells(wanted, mine)) for wanted, mine in pairs)
    out_of_order = None
    if ordered and not (missing or unexpected or changed):
        out_of_order = next((n for n, (a, b) in enumerate(zip(expected, got, strict=True), 1) if not _equal(a, b)), None)
    return Comparison(tuple(missing), tuple(unexpected), changed, out_of_order)


def _unmatched(expected: Sequence[Row], got: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Both sides without the rows that are exactly alike, as often as they are."""
    there, wanted = Counter(map(_key, got)), Counter(map(_key, expected))
    return _beyond(expected, there), _beyond(got, wanted)


def _beyond(rows: Sequence[Row], others: Counter[bytes]) -> list[Row]:
    left = others.copy()
    results = []
    for row in rows:
        key = _key(row)
        if left[key] > 0:
            left[key] -= 1
        else:
            results.append(row)
    return results


def _key(row: Row) -> bytes:
    """A row's content, whatever the order of its columns."""
    return msgspec.json.encode({name: row[name] for name in sorted(row)})


def _without_close(missing: list[Row], unexpected: list[Row]) -> tuple[list[Row], list[Row]]:
    """Without pairs that differ only by how floats are rounded."""
    if not _has_floats(missing) or len(missing) * len(unexpected) > PAIRED_MAX**2:
        return missing, unexpected
    left = list(unexpected)
    alone = []
    for row in missing:
        partner = next((i for i, other in enumerate(left) if _equal(row, other)), None)
        if partner is None:
            alone.append(row)
        else:
            left.pop(partner)
    return alone, left


def _has_floats(rows: Sequence[Row]) -> bool:
    return any(isinstance(value, float) for row in rows for value in row.values())


def _equal(item: Row, other: Row) -> bool:
    return not _cells(item, other)


def _cells(expected: Row, got: Row) -> tuple[CellDifference, ...]:
    return tuple(CellDifference(name, expected[name], got.get(name)) for name in expected if not _alike(expected[name], got.get(name)))


def _alike(item: Any, other: Any) -> bool:
    if isinstance(item, float) and isinstance(other, float):
        return math.isclose(item, other, rel_tol=TOLERANCE)
    return type(item) is type(other) and bool(item == other)


def _paired(missing: list[Row], unexpected: list[Row], keys: Sequence[str]) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """Rows that are meant to be the same: of equal keys, or those that have at least half of their cells in
    common; the only one on each side."""
    if len(missing) > PAIRED_MAX or len(unexpected) > PAIRED_MAX:
        return [], missing, unexpected
    if len(missing) == len(unexpected) == 1:
        return [(missing[0], unexpected[0])], [], []
    pairs: list[tuple[Row, Row]] = []
    alone, left = [], list(unexpected)
    for row in missing:
        partner = _partner(row, left, keys)
        if partner is None:
            alone.append(row)
        else:
            pairs.append((row, left.pop(partner)))
    return pairs, alone, left


def _partner(row: Row, others: Sequence[Row], keys: Sequence[str]) -> int | None:
    if keys and all(key in row for key in keys):
        return next((i for i, other in enumerate(others) if all(_alike(row[key], other.get(key)) for key in keys)), None)
    best, result = len(row) / 2, None
    for i, other in enumerate(others):
        common = len(row) - len(_cells(row, other))
        if common > best or (common == best and result is None and len(row) > 1):
            best, result = common, i
    return result
