"""Whether two columns hold the same values, row by row, where rows of an earlier delivery are known
again by a key: what two names have in common is an opinion beside that. Pure.

An agreement weighs as much as it was improbable. Zeros, flags and few categories agree by accident,
so each equal row counts with the information of its value, in bits.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from headrace.quality.rename_traits import canonical

KEYS_MIN = 20
"""Rows that must be known again."""
UNIQUE = 0.98
"""A key tells this part of the rows apart, on both sides."""
KEY_COLUMNS_MAX = 12
"""Columns that are tried as keys, alone and in pairs."""
CONSTANT_FACTOR = 0.9
"""From this part of the rows on a factor is one factor, …"""
FACTOR_NEAR = 1e-3
"""… give or take what rounding leaves."""
BITS_FULL = 40.0
"""From so many bits on an agreement is no accident."""

Cells = Mapping[str, Sequence[str | None]]
"""Column → its cells as text, of some rows."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How two columns agree in the rows that both sides have. `bits` is the information of the equal
    ones, `of` that of all; `factor` is what the earlier values have to be multiplied by."""

    rows: int
    equal: int
    bits: float
    of: float
    accident: float = 0.0
    """Bits that two columns of these values would have in common if they had nothing to do with each
    other."""
    factor: float = 1.0

    @property
    def share(self) -> float:
        """Of the information that is no accident, from 0 to 1."""
        left = self.of - self.accident
        return max(0.0, self.bits - self.accident) / left if left > 0 else 0.0

    @property
    def informative(self) -> bool:
        """Whether rows could tell columns apart at all."""
        return self.of - self.accident >= BITS_FULL

    @property
    def weight(self) -> float:
        """How much that says, from 0 to 1."""
        return self.share * min(1.0, self.bits / BITS_FULL)


OF_ROWS = 24.0
"""Weight of rows that agree, in nats: more than names can have."""


class RenameCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a column that is gone may be called now, and what speaks for it."""

    to: str
    base: float
    """Log odds by name, type, place and distribution."""
    overlap: float
    """Share of values that both have, each as often."""
    rows: Agreement | None = None

    @property
    def log_odds(self) -> float:
        """With what rows say."""
        return self.base + (OF_ROWS * self.rows.weight if self.rows is not None else 0.0)

    @property
    def agreement(self) -> float:
        """How far the values are the same, from 0 to 1: of rows, where they are known again."""
        return self.overlap if self.rows is None else self.rows.share


def together(some: Sequence[Agreement]) -> Agreement:
    """What several intervals say of one pair. Another factor in each is none."""
    one_factor = len({round(agreement.factor, 6) for agreement in some if agreement.equal}) <= 1
    return Agreement(
        rows=sum(agreement.rows for agreement in some),
        equal=sum(agreement.equal for agreement in some) if one_factor else 0,
        bits=sum(agreement.bits for agreement in some) if one_factor else 0.0,
        of=sum(agreement.of for agreement in some),
        accident=sum(agreement.accident for agreement in some),
        factor=next((agreement.factor for agreement in some if agreement.equal), 1.0),
    )


def agreements(
    before: Cells, after: Cells, keys: Sequence[str], gone: Sequence[str], new: Sequence[str]
) -> dict[tuple[str, str], Agreement]:
    """(column that is gone, new one) → how they agree; nothing where no key of `keys` (columns that
    both sides have) knows enough rows again."""
    matched = _matched(before, after, keys)
    if len(matched) < KEYS_MIN:
        return {}
    results = {}
    for column in gone:
        was = [_cell(before, column, row) for row, _ in matched]
        information = _information(was)
        for name in new:
            now = [_cell(after, name, row) for _, row in matched]
            results[column, name] = _agreement(was, now, information)
    return results


def _matched(before: Cells, after: Cells, keys: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of both sides that have the same key, by the key that knows most of them again."""
    best: list[tuple[int, int]] = []
    known = [key for key in keys if key in before and key in after][:KEY_COLUMNS_MAX]
    for key in _keys(known):
        first, second = _rows_by(before, key), _rows_by(after, key)
        if first is None or second is None:
            continue
        results = [(row, second[cells]) for cells, row in first.items() if cells in second]
        if len(results) > len(best):
            best = results
    return best


def _keys(columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in (1, 2):
        yield from itertools.combinations(columns, size)


def _rows_by(cells: Cells, key: tuple[str, ...]) -> dict[tuple[str, ...], int] | None:
    """Key → row, where the key tells rows apart; rows that it doesn't are left out."""
    rows: dict[tuple[str, ...], int] = {}
    twice, filled = set[tuple[str, ...]](), 0
    for at, results in enumerate(zip(*(cells[name] for name in key), strict=True)):
        if None in results:
            continue
        named = tuple(canonical(item) for item in results if item is not None)
        filled += 1
        if named in rows:
            twice.add(named)
        rows[named] = at
    if not filled or len(rows) < UNIQUE * filled:
        return None
    return {named: at for named, at in rows.items() if named not in twice}


def _cell(cells: Cells, column: str, row: int) -> str | None:
    value = cells[column][row] if column in cells else None
    return None if value is None else canonical(value)


def _information(values: Sequence[str | None]) -> list[float]:
    """Of each value, in bits, by how often it is there. Nulls say nothing."""
    counts = Counter(value for value in values if value is not None)
    total = sum(counts.values())
    return [0.0 if value is None else -math.log2(counts[value] / total) for value in values]


def _agreement(was: Sequence[str | None], now: Sequence[str | None], information: Sequence[float]) -> Agreement:
    same = [item is not None and item == other for item, other in zip(was, now, strict=True)]
    of, rows = sum(information), sum(item is not None for item in was)
    bits = sum(own for own, is_same in zip(information, same, strict=True) if is_same)
    plain = Agreement(rows=rows, equal=sum(same), bits=bits, of=of, accident=_accident(was, now, information))
    factor = _factor(was, now)
    if factor is None or plain.share >= 1 - CONSTANT_FACTOR:
        return plain
    scaled = [_is_scaled(item, other, factor) for item, other in zip(was, now, strict=True)]
    bits = sum(own for own, is_same in zip(information, scaled, strict=True) if is_same)
    return Agreement(rows=rows, equal=sum(scaled), bits=bits, of=of, factor=factor)


def _accident(was: Sequence[str | None], now: Sequence[str | None], information: Sequence[float]) -> float:
    """What rows would agree on if they were shuffled."""
    counts = Counter(value for value in now if value is not None)
    return sum(own * counts[value] / len(now) for value, own in zip(was, information, strict=True) if value is not None)


def _factor(was: Sequence[str | None], now: Sequence[str | None]) -> float | None:
    """What nearly all values were multiplied by, if that is one number."""
    pairs = ((number(item), number(other)) for item, other in zip(was, now, strict=True))
    ratios = [new / old for old, new in pairs if old and new]
    if len(ratios) < KEYS_MIN:
        return None
    middle = statistics.median(ratios)
    near = sum(abs(ratio / middle - 1) <= FACTOR_NEAR for ratio in ratios)
    return middle if near >= CONSTANT_FACTOR * len(ratios) else None


def _is_scaled(item: str | None, other: str | None, factor: float) -> bool:
    old, new = number(item), number(other)
    if old is None or new is None:
        return False
    return abs(new - factor * old) <= FACTOR_NEAR * max(abs(new), abs(factor * old))


def number(value: str | None) -> float | None:
    """A finite number, if the text is one."""
    try:
        result = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return result if math.isfinite(result) else None
