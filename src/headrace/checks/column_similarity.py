"""Similarity of two columns: traits of their values, and agreement row by row. Pure.

Renames, drift and facts use it.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

import msgspec

# Traits of a column's values, from a sample, and the similarity of two columns by them. The values
# themselves aren't stored.

TOP = 400
"""The maximum number of distinct values whose shares are stored."""
SHAPES = 12
NUMBERS = 200
"""The number of points of a stored distribution."""
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?")
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
TEXT_MAX = 200
BITS = 6.0
"""The information per value, in bits, from which on values distinguish columns fully."""
DECIMALS_MAX = 4
_Key = TypeVar("_Key", int, str)


class ColumnTraits(msgspec.Struct, frozen=True, kw_only=True):
    """Traits that distinguish a column; `nulls` is a share of rows, others of non-null rows."""

    name: str
    type: str
    position: float
    """The number of columns common to both schemas before it, plus tenths for others in between."""
    rows: int = 0
    nulls: float = 0.0
    values: int = 0
    distinct: int = 0
    """The number of distinct values."""
    numeric: float = 0.0
    whole: float = 0.0
    """The share of integers among the numbers."""
    numbers: tuple[float, ...] = ()
    """Evenly spaced quantiles of the numbers."""
    lengths: tuple[float, ...] = ()
    shapes: dict[str, float] = {}
    """Shares of shapes: `9-9-9` and `a 9` stand for runs of digits and letters."""
    shares: dict[int, float] = {}
    """Shares of the most frequent values, by their hash."""
    telling: float = 0.0
    """How unlikely values in common with another column are by chance, from 0 to 1.

    0 for zeros, flags, and small integers without gaps.
    """


def traits(name: str, kind: str, position: float, values: Sequence[str | None]) -> ColumnTraits:
    """Return the traits of a sample of a column's values as text."""
    there = [canonical(value[:TEXT_MAX]) for value in values if value is not None]
    if not there:
        return ColumnTraits(
            name=name, type=kind, position=position, rows=len(values), nulls=1.0 if values else 0.0
        )
    numbers = sorted(float(value) for value in there if _NUMBER.fullmatch(value))
    counted = Counter(there)
    shapes = Counter(_LETTERS.sub("a", _DIGITS.sub("9", value))[:24] for value in there)
    return ColumnTraits(
        name=name,
        type=kind,
        position=position,
        rows=len(values),
        nulls=1 - len(there) / len(values),
        values=len(there),
        distinct=len(counted),
        numeric=len(numbers) / len(there),
        whole=sum(number.is_integer() for number in numbers) / len(numbers) if numbers else 0.0,
        numbers=_quantiles(numbers) if len(numbers) >= 0.9 * len(there) else (),
        lengths=_quantiles(sorted(float(len(value)) for value in there)),
        shapes={shape: count / len(there) for shape, count in shapes.most_common(SHAPES)},
        shares={_hash(value): count / len(there) for value, count in counted.most_common(TOP)},
        telling=_telling(counted),
    )


def _telling(counted: Counter[str]) -> float:
    """Return how distinctive values are: their mean information, at most `BITS`, as a share.

    Numbers that fill their range count less, since any others of that range equal them.
    """
    total = sum(counted.values())
    bits = -sum(count / total * math.log2(count / total) for count in counted.values())
    return min(1.0, bits / BITS) * (1 - _filled(counted))


def _filled(counted: Counter[str]) -> float:
    """Return the share of the numbers in the range, with as many decimals, that occur."""
    numbers = [value for value in counted if _NUMBER.fullmatch(value)]
    if len(numbers) < 0.9 * len(counted):
        return 0.0
    decimals = min(max(len(value.partition(".")[2]) for value in numbers), DECIMALS_MAX)
    places = [float(value) for value in numbers]
    between = (max(places) - min(places)) * 10**decimals + 1
    return float(min(1.0, len(numbers) / between))


def canonical(value: str) -> str:
    """Return equal values in one notation: `67.7100` is `67.71`, but `007` isn't `7`."""
    plain = value.strip()
    if "." not in plain or not _NUMBER.fullmatch(plain):
        return plain
    number = float(plain)
    return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _hash(value: str) -> int:
    return int.from_bytes(blake2b(value.encode(errors="surrogatepass"), digest_size=7).digest())


def _quantiles(ordered: Sequence[float]) -> tuple[float, ...]:
    if len(ordered) <= NUMBERS:
        return tuple(ordered)
    return tuple(ordered[int((i + 0.5) * len(ordered) / NUMBERS)] for i in range(NUMBERS))


class Alike(msgspec.Struct, frozen=True):
    """The similarity of two columns' values, from 0 to 1 each."""

    overlap: float
    """The share of values in common, by frequency."""
    spread: float
    """The overlap of the distributions of numbers, or else of text lengths."""
    shape: float
    nulls: float
    distinct: float


def alike(traits: ColumnTraits, other: ColumnTraits) -> Alike | None:
    """Return the similarity of two columns' values, or None if one has no values."""
    if not traits.shares or not other.shares:
        return None
    numbers = bool(traits.numbers and other.numbers) and not (
        _all_different(traits) and _all_different(other)
    )
    spread = (
        _spread(traits.numbers, other.numbers)
        if numbers
        else _spread(traits.lengths, other.lengths)
    )
    if bool(traits.numbers) != bool(other.numbers):
        spread = 0.0
    chance = math.sqrt(1 / traits.values + 1 / other.values)
    return Alike(
        overlap=_common(traits.shares, other.shares),
        spread=min(1.0, spread + chance) if spread else 0.0,
        shape=min(1.0, _common(traits.shapes, other.shapes) + chance),
        nulls=1 - min(1.0, 2 * abs(math.sqrt(traits.nulls) - math.sqrt(other.nulls))),
        distinct=1 - min(1.0, max(0.0, _apart(traits, other) - chance)),
    )


def _all_different(traits: ColumnTraits) -> bool:
    """Return whether the values count rows: the next day's numbers differ, but are as long."""
    return traits.distinct > 0.95 * traits.values and traits.whole == 1.0


def _apart(traits: ColumnTraits, other: ColumnTraits) -> float:
    """Return the difference in the number of distinct values, in powers of ten.

    Compares numbers or shares, whichever fits better: categories have a constant number of values,
    keys a constant share.
    """
    by_number = math.log10(traits.distinct / other.distinct)
    return min(abs(by_number), abs(by_number - math.log10(traits.values / other.values)))


def _common(item: Mapping[_Key, float], other: Mapping[_Key, float]) -> float:
    return sum(min(share, other.get(value, 0.0)) for value, share in item.items())


def _spread(item: Sequence[float], other: Sequence[float]) -> float:
    """Return 1 minus the greatest distance of the two cumulative distributions."""
    if not item or not other:
        return 0.0
    points = sorted({*item, *other})
    return 1 - max(
        abs(bisect.bisect_right(item, at) / len(item) - bisect.bisect_right(other, at) / len(other))
        for at in points
    )


# Whether two columns hold the same values row by row, if a key matches rows with those of an
# earlier delivery. Such evidence outweighs the similarity of names. Zeros, flags and few categories
# agree by chance, so each equal row counts with the information of its value, in bits.

KEYS_MIN = 20
"""The minimum number of matched rows."""
UNIQUE = 0.98
"""The minimum share of rows that a key must identify uniquely, on both sides."""
KEY_COLUMNS_MAX = 12
"""The maximum number of columns that are tried as keys, alone and in pairs."""
CONSTANT_FACTOR = 0.9
"""The minimum share of rows with the same factor, …"""
FACTOR_NEAR = 1e-3
"""… within this relative tolerance for rounding."""
BITS_FULL = 40.0
"""The information in bits from which on an agreement isn't chance."""

Cells = Mapping[str, Sequence[str | None]]
"""Columns and the texts of their cells, in some rows."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """The agreement of two columns in the rows that both sides have.

    `bits` is the information of the equal rows, `of` that of all rows; `factor` is the factor from
    earlier to later values.
    """

    rows: int
    equal: int
    bits: float
    of: float
    accident: float = 0.0
    """The information in bits that two unrelated columns with these values would share."""
    factor: float = 1.0

    @property
    def share(self) -> float:
        """Return the share of the information that agrees, beyond chance, from 0 to 1."""
        left = self.of - self.accident
        return max(0.0, self.bits - self.accident) / left if left > 0 else 0.0

    @property
    def informative(self) -> bool:
        """Return whether the rows have enough information to distinguish columns."""
        return self.of - self.accident >= BITS_FULL

    @property
    def weight(self) -> float:
        """Return the weight of the evidence, from 0 to 1."""
        return self.share * min(1.0, self.bits / BITS_FULL)


OF_ROWS = 24.0
"""The weight of agreeing rows, in nats: more than names can reach."""


class RenameCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A possible new name of a missing column, with the evidence for it."""

    to: str
    base: float
    """Log odds by name, type, position and distribution."""
    overlap: float
    """The share of values in common, by frequency."""
    rows: Agreement | None = None

    @property
    def log_odds(self) -> float:
        """Return the log odds, including the agreement of rows."""
        return self.base + (OF_ROWS * self.rows.weight if self.rows is not None else 0.0)

    @property
    def agreement(self) -> float:
        """Return the agreement of the values from 0 to 1, by matched rows if there are any."""
        return self.overlap if self.rows is None else self.rows.share


class RenameRival(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new column that came close to being proposed as the new name of a missing column."""

    to: str
    score: float
    """Its score, from 0 to 1, against the same columns as the score of the proposed name."""
    why: str = ""
    """How it resembles the missing column; empty if nothing in particular does."""


def pooled_agreement(some: Sequence[Agreement]) -> Agreement:
    """Merge the agreements of several intervals for one pair; differing factors count as none."""
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
    before: Cells, after: Cells, keys: Sequence[str], missing: Sequence[str], new: Sequence[str]
) -> dict[tuple[str, str], Agreement]:
    """Return the agreement of each pair of a missing and a new column.

    Empty if no key made of `keys` (columns that both sides have) matches enough rows.
    """
    matched = _matched(before, after, keys)
    if len(matched) < KEYS_MIN:
        return {}
    results = {}
    for column in missing:
        was = [_cell(before, column, row) for row, _ in matched]
        information = _information(was)
        for name in new:
            now = [_cell(after, name, row) for _, row in matched]
            results[column, name] = _agreement(was, now, information)
    return results


def _matched(before: Cells, after: Cells, keys: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of rows with equal keys, by the key that matches most rows."""
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
    """Return the number of the only row with each combination of values of the key's columns.

    Rows with a null in one of these columns have no key. None if too few rows have a key of their
    own (`UNIQUE`).
    """
    rows = defaultdict[tuple[str, ...], list[int]](list)
    for row, texts in enumerate(zip(*(cells[name] for name in key), strict=True)):
        values = tuple(canonical(text) for text in texts if text is not None)
        if len(values) == len(key):
            rows[values].append(row)
    keyed = sum(map(len, rows.values()))
    if not keyed or len(rows) < UNIQUE * keyed:
        return None
    return {values: same[0] for values, same in rows.items() if len(same) == 1}


def _cell(cells: Cells, column: str, row: int) -> str | None:
    value = cells[column][row] if column in cells else None
    return None if value is None else canonical(value)


def _information(values: Sequence[str | None]) -> list[float]:
    """Return the information of each value in bits, by its frequency; 0 for nulls."""
    counts = Counter(value for value in values if value is not None)
    total = sum(counts.values())
    return [0.0 if value is None else -math.log2(counts[value] / total) for value in values]


def _agreement(
    was: Sequence[str | None], now: Sequence[str | None], information: Sequence[float]
) -> Agreement:
    same = [item is not None and item == other for item, other in zip(was, now, strict=True)]
    of, rows = sum(information), sum(item is not None for item in was)
    bits = sum(row_bits for row_bits, is_same in zip(information, same, strict=True) if is_same)
    plain = Agreement(
        rows=rows, equal=sum(same), bits=bits, of=of, accident=_accident(was, now, information)
    )
    factor = _factor(was, now)
    if factor is None or plain.share >= 1 - CONSTANT_FACTOR:
        return plain
    scaled = [_is_scaled(item, other, factor) for item, other in zip(was, now, strict=True)]
    bits = sum(row_bits for row_bits, is_same in zip(information, scaled, strict=True) if is_same)
    return Agreement(rows=rows, equal=sum(scaled), bits=bits, of=of, factor=factor)


def _accident(
    was: Sequence[str | None], now: Sequence[str | None], information: Sequence[float]
) -> float:
    """Return the information in bits that agrees if the rows are shuffled."""
    counts = Counter(value for value in now if value is not None)
    return sum(
        row_bits * counts[value] / len(now)
        for value, row_bits in zip(was, information, strict=True)
        if value is not None
    )


def _factor(was: Sequence[str | None], now: Sequence[str | None]) -> float | None:
    """Return the factor from nearly all old values to new ones, if there is one."""
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
    """Return the text as a finite number, or None."""
    try:
        result = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return result if math.isfinite(result) else None
